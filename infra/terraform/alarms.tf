# Alarms. Silence counts as bad where a metric comes from every firing; ../README.md has the table.

locals {
  alarm_actions = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]
  daily         = { Policy = "daily" }
  functions_of  = { for name, function in aws_lambda_function.this : name => { FunctionName = function.function_name } }

  daily_alarms = var.daily_state == "DISABLED" ? {} : {
    daily-volumes-overdue  = { metric = "VolumesOverdue", statistic = "Maximum", threshold = 0, operator = "GreaterThanThreshold", periods = 3, points = 3, missing = "breaching", says = "Volumes of the policy daily have no good restore point that is recent enough, or the policy is silent." }
    daily-silent           = { metric = "RunDuration", statistic = "SampleCount", threshold = 1, operator = "LessThanThreshold", periods = 3, points = 3, missing = "breaching", says = "The policy daily has not finished a firing for three hours." }
    daily-failures         = { metric = "Failures", statistic = "Maximum", threshold = 0, operator = "GreaterThanThreshold", periods = 6, points = 3, missing = "breaching", says = "Instances or volumes of the policy daily got no restore point in three firings of six, or none is heard of." }
    daily-selects-nothing  = { metric = "SelectsNothing", statistic = "Minimum", threshold = 1, operator = "GreaterThanOrEqualToThreshold", periods = 3, points = 3, missing = "breaching", says = "The policy daily selects no volume. Has a tag been changed?" }
    daily-crash-consistent = { metric = "CrashConsistentFallbacks", statistic = "Sum", threshold = 0, operator = "GreaterThanThreshold", periods = 1, points = 1, missing = "notBreaching", says = "Restore points of the policy daily were made that are less consistent than it asks for." }
    daily-prune-blocked    = { metric = "PruneBlocked", statistic = "Maximum", threshold = 0, operator = "GreaterThanThreshold", periods = 24, points = 24, missing = "notBreaching", says = "Pruning of the policy daily holds back; the summary in the log says why." }
    daily-frozen-too-long  = { metric = "FrozenMilliseconds", statistic = "Maximum", threshold = var.max_freeze_milliseconds, operator = "GreaterThanThreshold", periods = 1, points = 1, missing = "notBreaching", says = "A file system was frozen for longer than the policy daily allows." }
  }

  other_alarms = {
    backup-slow      = { namespace = "AWS/Lambda", metric = "Duration", dimensions = local.functions_of["backup"], statistic = "Maximum", threshold = 720000, period = 3600, periods = 3, says = "The backup function needed more than twelve minutes of its fifteen." }
    backup-errors    = { namespace = "AWS/Lambda", metric = "Errors", dimensions = local.functions_of["backup"], statistic = "Sum", threshold = 0, period = 300, periods = 1, says = "The backup function failed; see its log." }
    signal-errors    = { namespace = "AWS/Lambda", metric = "Errors", dimensions = local.functions_of["signal"], statistic = "Sum", threshold = 0, period = 300, periods = 1, says = "The signal function failed; see its log." }
    restore-errors   = { namespace = "AWS/Lambda", metric = "Errors", dimensions = local.functions_of["restore"], statistic = "Sum", threshold = 0, period = 300, periods = 1, says = "The restore function failed; see its log." }
    signal-throttled = { namespace = "AWS/Lambda", metric = "Throttles", dimensions = local.functions_of["signal"], statistic = "Sum", threshold = 0, period = 300, periods = 1, says = "Lambda turned helpers away while they were frozen; raise the account's concurrency." }
    dead-letters     = { namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = aws_sqs_queue.dead_letters.name }, statistic = "Maximum", threshold = 0, period = 300, periods = 1, says = "Events could not be delivered, or failed to the end; they wait in the queue." }
  }
}

resource "aws_cloudwatch_metric_alarm" "age" {
  count = var.daily_state == "DISABLED" ? 0 : 1

  alarm_name          = "${var.prefix}-daily-restore-point-age"
  alarm_description   = "The newest good restore point of some volume of the policy daily is too old, or the policy has said nothing for three hours."
  comparison_operator = "GreaterThanThreshold"
  evaluation_periods  = 3
  threshold           = var.oldest_restore_point_hours
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = local.tags

  metric_query {
    id          = "hours"
    label       = "Hours since the newest good restore point"
    expression  = "age / 3600"
    return_data = true
  }
  metric_query {
    id = "age"
    metric {
      namespace   = local.namespace
      metric_name = "RestorePointAge"
      dimensions  = local.daily
      stat        = "Maximum"
      period      = 3600
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "daily" {
  for_each = local.daily_alarms

  alarm_name          = "${var.prefix}-${each.key}"
  alarm_description   = each.value.says
  namespace           = local.namespace
  metric_name         = each.value.metric
  dimensions          = local.daily
  statistic           = each.value.statistic
  period              = 3600
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.points
  threshold           = each.value.threshold
  comparison_operator = each.value.operator
  treat_missing_data  = each.value.missing
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "other" {
  for_each = local.other_alarms

  alarm_name          = "${var.prefix}-${each.key}"
  alarm_description   = each.value.says
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.periods
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = local.tags
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.prefix
  dashboard_body = templatefile("${path.module}/from-template/dashboard.json.tftpl", merge(local.names, {
    max_freeze_milliseconds    = var.max_freeze_milliseconds
    namespace                  = local.namespace
    oldest_restore_point_hours = var.oldest_restore_point_hours
  }))
}
