# What ../template.yaml deploys, for those who use Terraform. Policies and documents are the template's own: the
# first are written to from-template/ by `cargo run -p deploy --bin inline-documents`, the second are read from
# ../documents.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.60"
    }
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  is_default = var.prefix == "stillframe"
  # Documents have a capital letter where the prefix is the default one.
  documents = local.is_default ? "Stillframe" : var.prefix
  namespace = local.is_default ? "Stillframe" : "Stillframe/${var.prefix}"
  region    = data.aws_region.current.name
  tags      = merge(var.tags, { "stillframe:stack" = var.prefix })

  # What the policies leave open.
  names = {
    account      = data.aws_caller_identity.current.account_id
    copy_regions = var.copy_regions
    documents    = local.documents
    kms_keys     = var.kms_key_arns
    partition    = data.aws_partition.current.partition
    prefix       = var.prefix
    region       = local.region
  }

  common = { STILLFRAME_PARAMETER_PREFIX = "/${var.prefix}" }
  named  = merge(local.common, { STILLFRAME_DOCUMENT_PREFIX = local.documents })
  functions = {
    backup = {
      memory  = var.backup_memory
      timeout = 900
      environment = merge(local.named, {
        STILLFRAME_METRICS_NAMESPACE = local.namespace
        STILLFRAME_SIGNAL_FUNCTION   = "${var.prefix}-signal"
      })
    }
    signal = {
      memory      = 512
      timeout     = 40
      environment = local.common
    }
    restore = {
      memory      = 512
      timeout     = 900
      environment = local.named
    }
  }
  # The two that events start: age in seconds, repeats.
  asynchronous = {
    backup  = { age = 3000, repeats = 1 }
    restore = { age = 3600, repeats = 2 }
  }

  daily_policy = merge(
    {
      policy        = "daily"
      every         = "day"
      timezone      = var.time_zone
      select        = { "tag:stillframe" = var.daily_tag_value }
      consistency   = var.daily_consistency
      on_failure    = var.daily_on_failure
      max_freeze_ms = var.max_freeze_milliseconds
      keep          = { daily = var.keep_daily, weekly = var.keep_weekly, monthly = var.keep_monthly }
    },
    length(var.copy_regions) == 0 ? {} : {
      copy_to = [{ region = var.copy_regions[0], keep = { daily = var.copy_keep_daily } }]
    }
  )
}

resource "aws_lambda_function" "this" {
  for_each = local.functions

  function_name    = "${var.prefix}-${each.key}"
  role             = aws_iam_role.function[each.key].arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  filename         = "${var.packages}/${each.key}.zip"
  source_code_hash = filebase64sha256("${var.packages}/${each.key}.zip")
  memory_size      = each.value.memory
  timeout          = each.value.timeout
  tags             = local.tags

  environment {
    variables = each.value.environment
  }
  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.this[each.key].name
  }
}

resource "aws_lambda_function_event_invoke_config" "this" {
  for_each = local.asynchronous

  function_name                = aws_lambda_function.this[each.key].function_name
  maximum_event_age_in_seconds = each.value.age
  maximum_retry_attempts       = each.value.repeats

  destination_config {
    on_failure {
      destination = aws_sqs_queue.dead_letters.arn
    }
  }
  # Lambda looks whether the role may write to the queue.
  depends_on = [aws_iam_role_policy.function]
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.functions

  name              = "/aws/lambda/${var.prefix}-${each.key}"
  retention_in_days = var.log_retention_days
  tags              = local.tags
}

# What no retry could deliver, kept for somebody to look at.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.prefix}-dead-letters"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = local.tags
}

resource "aws_sqs_queue_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.url
  policy    = templatefile("${path.module}/from-template/dead-letters.json.tftpl", local.names)
}

resource "aws_ssm_document" "this" {
  for_each = toset([for file in fileset("${path.module}/../documents", "Stillframe-*.json") : trimsuffix(trimprefix(file, "Stillframe-"), ".json")])

  name            = "${local.documents}-${each.key}"
  document_type   = jsondecode(file("${path.module}/../documents/Stillframe-${each.key}.json")).schemaVersion == "2.2" ? "Command" : "Automation"
  document_format = "JSON"
  content         = replace(file("${path.module}/../documents/Stillframe-${each.key}.json"), "\"stillframe-restore\"", "\"${var.prefix}-restore\"")
  tags            = local.tags
}

resource "aws_ssm_association" "helper" {
  count = var.helper_source == null ? 0 : 1

  association_name    = "${var.prefix}-helper"
  name                = aws_ssm_document.this["Install"].name
  schedule_expression = "rate(1 day)"
  max_concurrency     = "10%"
  max_errors          = "1"
  compliance_severity = "HIGH"

  targets {
    key    = "tag:stillframe"
    values = [var.daily_tag_value]
  }
  parameters = {
    source      = var.helper_source
    version     = var.helper_version
    sha256Arm64 = var.helper_sha256_arm64
    sha256X8664 = var.helper_sha256_x8664
  }
}
