# Roles: the template's own policies, each filled in with this account's names. ../template.yaml says why each statement
# is there, tests/deploy evaluates them.

locals {
  trust = {
    for service in ["ec2", "lambda"] : service => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Principal = { Service = "${service}.amazonaws.com" }
        Action    = "sts:AssumeRole"
      }]
    })
  }
}

resource "aws_iam_role" "function" {
  for_each = local.functions

  name_prefix        = "${var.prefix}-${each.key}-"
  assume_role_policy = local.trust["lambda"]
  tags               = local.tags
}

# backup, signal, restore
resource "aws_iam_role_policy" "function" {
  for_each = local.functions

  name   = each.key
  role   = aws_iam_role.function[each.key].id
  policy = templatefile("${path.module}/from-template/${each.key}.json.tftpl", local.names)
}

resource "aws_iam_role_policy" "copy" {
  count = length(var.copy_regions) == 0 ? 0 : 1

  name   = "copy"
  role   = aws_iam_role.function["backup"].id
  policy = templatefile("${path.module}/from-template/copy.json.tftpl", local.names)
}

resource "aws_iam_role_policy" "keys" {
  for_each = toset(length(var.kms_key_arns) == 0 ? [] : ["backup", "restore"])

  name   = "keys"
  role   = aws_iam_role.function[each.key].id
  policy = templatefile("${path.module}/from-template/keys.json.tftpl", local.names)
}

resource "aws_iam_role" "schedule" {
  name_prefix = "${var.prefix}-schedule-"
  # Schedules of this group and no others.
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = {
          "aws:SourceAccount" = local.names.account
          "aws:SourceArn"     = aws_scheduler_schedule_group.this.arn
        }
      }
    }]
  })
  tags = local.tags
}

resource "aws_iam_role_policy" "schedule" {
  name   = "schedule"
  role   = aws_iam_role.schedule.id
  policy = templatefile("${path.module}/from-template/schedule.json.tftpl", local.names)
}

# To be attached to the role of every instance, beside AmazonSSMManagedInstanceCore.
resource "aws_iam_policy" "instance" {
  name_prefix = "${var.prefix}-instance-"
  description = "Lets the Stillframe helper of an instance invoke the signal function, and keeps it off the signing key."
  policy      = templatefile("${path.module}/from-template/instance.json.tftpl", local.names)
  tags        = local.tags
}

# An example, good for a first try.
resource "aws_iam_role" "instance" {
  name_prefix        = "${var.prefix}-instance-"
  assume_role_policy = local.trust["ec2"]
  tags               = local.tags
}

resource "aws_iam_role_policy_attachment" "instance" {
  role       = aws_iam_role.instance.name
  policy_arn = aws_iam_policy.instance.arn
}

resource "aws_iam_role_policy_attachment" "instance_ssm" {
  role       = aws_iam_role.instance.name
  policy_arn = "arn:${local.names.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "instance" {
  name_prefix = "${var.prefix}-"
  role        = aws_iam_role.instance.name
  tags        = local.tags
}
