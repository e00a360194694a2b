output "backup_function" {
  description = "Invoke it with a policy; with \"dry_run\" true it says what it would do."
  value       = aws_lambda_function.this["backup"].function_name
}

output "signal_function" {
  description = "For `stillframe-helper doctor --function`."
  value       = aws_lambda_function.this["signal"].function_name
}

output "restore_function" {
  description = "Restores on demand."
  value       = aws_lambda_function.this["restore"].function_name
}

output "instance_policy_arn" {
  description = "Attach this to the roles of instances, beside AmazonSSMManagedInstanceCore."
  value       = aws_iam_policy.instance.arn
}

output "instance_profile" {
  description = "Or give instances this profile, which has both."
  value       = aws_iam_instance_profile.instance.name
}

output "schedule_group" {
  description = "Group of further schedules."
  value       = aws_scheduler_schedule_group.this.name
}

output "schedule_role_arn" {
  description = "Role of further schedules."
  value       = aws_iam_role.schedule.arn
}

output "dead_letters" {
  description = "Queue of events that failed to the end."
  value       = aws_sqs_queue.dead_letters.url
}
