# What starts the functions.

resource "aws_scheduler_schedule_group" "this" {
  name = var.prefix
  tags = local.tags
}

# A further policy is a further resource like this, in this group and with this role (outputs).
resource "aws_scheduler_schedule" "daily" {
  name                         = "${var.prefix}-daily"
  group_name                   = aws_scheduler_schedule_group.this.name
  description                  = "The daily policy. Fires every hour; a finished day is a look only."
  state                        = var.daily_state
  schedule_expression          = var.daily_schedule
  schedule_expression_timezone = var.time_zone

  flexible_time_window {
    mode = "OFF"
  }
  target {
    arn      = aws_lambda_function.this["backup"].arn
    role_arn = aws_iam_role.schedule.arn
    input    = jsonencode(local.daily_policy)

    retry_policy {
      maximum_event_age_in_seconds = 3000
      maximum_retry_attempts       = 3
    }
    dead_letter_config {
      arn = aws_sqs_queue.dead_letters.arn
    }
  }
}

# An instance that was started gets its volumes back; the function leaves those without the tag alone.
resource "aws_cloudwatch_event_rule" "instance_running" {
  name        = "${var.prefix}-instance-running"
  description = "An instance was started; if it carries the tag stillframe:restore its volumes are restored."
  event_pattern = jsonencode({
    source      = ["aws.ec2"]
    detail-type = ["EC2 Instance State-change Notification"]
    detail      = { state = ["running"] }
  })
  tags = local.tags
}

resource "aws_cloudwatch_event_target" "restore" {
  rule      = aws_cloudwatch_event_rule.instance_running.name
  target_id = "restore"
  arn       = aws_lambda_function.this["restore"].arn

  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 10
  }
  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }
}

resource "aws_lambda_permission" "instance_running" {
  function_name  = aws_lambda_function.this["restore"].function_name
  action         = "lambda:InvokeFunction"
  principal      = "events.amazonaws.com"
  source_account = local.names.account
  source_arn     = aws_cloudwatch_event_rule.instance_running.arn
}

# A copy can begin when its source is complete; without this it begins with the next hourly firing.
resource "aws_cloudwatch_event_rule" "snapshots_complete" {
  count = length(var.copy_regions) == 0 ? 0 : 1

  name        = "${var.prefix}-snapshots-complete"
  description = "Snapshots were completed; the daily policy copies what is to be copied."
  state       = var.daily_state
  event_pattern = jsonencode({
    source      = ["aws.ec2"]
    detail-type = ["EBS Multi-Volume Snapshots Completion Status"]
    detail      = { event = ["createSnapshots"], result = ["succeeded"] }
  })
  tags = local.tags
}

resource "aws_cloudwatch_event_target" "copy" {
  count = length(var.copy_regions) == 0 ? 0 : 1

  rule      = aws_cloudwatch_event_rule.snapshots_complete[0].name
  target_id = "copy"
  arn       = aws_lambda_function.this["backup"].arn

  # The schedule's policy, and the event as it comes. It is no JSON before EventBridge has filled it in, and jsonencode
  # would write its brackets as escapes.
  input_transformer {
    input_template = replace(
      jsonencode(merge(local.daily_policy, { action = "copy", event = "EVENT" })), "\"EVENT\"", "<aws.events.event.json>"
    )
  }
  retry_policy {
    maximum_event_age_in_seconds = 3000
    maximum_retry_attempts       = 3
  }
  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }
}

resource "aws_lambda_permission" "snapshots_complete" {
  count = length(var.copy_regions) == 0 ? 0 : 1

  function_name  = aws_lambda_function.this["backup"].function_name
  action         = "lambda:InvokeFunction"
  principal      = "events.amazonaws.com"
  source_account = local.names.account
  source_arn     = aws_cloudwatch_event_rule.snapshots_complete[0].arn
}
