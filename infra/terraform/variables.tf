# The same names and ranges as the parameters of ../template.yaml.

variable "prefix" {
  type        = string
  default     = "stillframe"
  description = "Begins the name of everything here; a second one in the same account and region needs another."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.prefix)) && !can(regex("^(aws|amazon|amzn|ssm)", var.prefix))
    error_message = "3 to 24 lower-case letters, digits and hyphens, not beginning with aws, amazon, amzn or ssm."
  }
}

variable "packages" {
  type        = string
  description = "Folder that holds backup.zip, signal.zip and restore.zip (cargo lambda build --release --output-format zip)."
}

variable "architecture" {
  type        = string
  default     = "arm64"
  description = "Processor that the packages were built for."
  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "arm64 or x86_64."
  }
}

variable "backup_memory" {
  type        = number
  default     = 512
  description = "MB of memory of the backup function."
  validation {
    condition     = var.backup_memory >= 256 && var.backup_memory <= 10240
    error_message = "256 to 10240."
  }
}

variable "log_retention_days" {
  type        = number
  default     = 90
  description = "Days after which the functions' logs are deleted."
  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365, 731, 1827, 3653], var.log_retention_days)
    error_message = "7, 14, 30, 60, 90, 180, 365, 731, 1827 or 3653."
  }
}

variable "daily_state" {
  type        = string
  default     = "ENABLED"
  description = "Whether the daily policy runs."
  validation {
    condition     = contains(["ENABLED", "DISABLED"], var.daily_state)
    error_message = "ENABLED or DISABLED."
  }
}

variable "daily_schedule" {
  type        = string
  default     = "cron(15 * * * ? *)"
  description = "When the daily policy fires, in time_zone: hourly, since a finished day costs a look only."
  validation {
    condition     = can(regex("^(cron\\([0-9A-Za-z*?/,#L -]+\\)|rate\\([1-9][0-9]* (minutes?|hours?|days?)\\))$", var.daily_schedule))
    error_message = "A cron(...) or rate(...) expression of EventBridge Scheduler."
  }
}

variable "time_zone" {
  type        = string
  default     = "UTC"
  description = "Where days begin."
  validation {
    condition     = can(regex("^[A-Za-z]+([_+-][A-Za-z0-9]+)*(/[A-Za-z0-9]+([_+-][A-Za-z0-9]+)*){0,2}$", var.time_zone))
    error_message = "A name of the IANA time zone database, as Europe/Berlin."
  }
}

variable "daily_tag_value" {
  type        = string
  default     = "daily"
  description = "The daily policy selects volumes that carry the tag stillframe with this value, or whose instance does."
  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9 _.:=+@-]{0,63}$", var.daily_tag_value))
    error_message = "1 to 64 letters, digits, spaces and _.:=+@-, beginning with a letter or digit."
  }
}

variable "daily_consistency" {
  type        = string
  default     = "filesystem"
  description = "What a restore point must be to count as good."
  validation {
    condition     = contains(["crash", "filesystem"], var.daily_consistency)
    error_message = "crash or filesystem."
  }
}

variable "daily_on_failure" {
  type        = string
  default     = "crash"
  description = "What happens when an instance cannot be frozen: a crash-consistent set, or none."
  validation {
    condition     = contains(["crash", "skip"], var.daily_on_failure)
    error_message = "crash or skip."
  }
}

variable "max_freeze_milliseconds" {
  type        = number
  default     = 10000
  description = "Longest time that a file system stays frozen."
  validation {
    condition     = var.max_freeze_milliseconds >= 1 && var.max_freeze_milliseconds <= 30000
    error_message = "1 to 30000."
  }
}

variable "keep_daily" {
  type        = number
  default     = 7
  description = "Days of which the newest restore point is kept."
  validation {
    condition     = var.keep_daily >= 1 && var.keep_daily <= 366
    error_message = "1 to 366."
  }
}

variable "keep_weekly" {
  type        = number
  default     = 4
  description = "Weeks of which the newest restore point is kept."
  validation {
    condition     = var.keep_weekly >= 0 && var.keep_weekly <= 520
    error_message = "0 to 520."
  }
}

variable "keep_monthly" {
  type        = number
  default     = 12
  description = "Months of which the newest restore point is kept."
  validation {
    condition     = var.keep_monthly >= 0 && var.keep_monthly <= 120
    error_message = "0 to 120."
  }
}

variable "copy_regions" {
  type        = list(string)
  default     = []
  description = "Regions that policies may copy to. The daily policy copies to the first."
  validation {
    condition     = alltrue([for region in var.copy_regions : can(regex("^[a-z]{2}(-[a-z]+){1,2}-[0-9]{1,2}$", region))])
    error_message = "Regions, as eu-west-1."
  }
}

variable "copy_keep_daily" {
  type        = number
  default     = 7
  description = "Days of which the daily policy keeps a copy in the other region."
  validation {
    condition     = var.copy_keep_daily >= 1 && var.copy_keep_daily <= 366
    error_message = "1 to 366."
  }
}

variable "kms_key_arns" {
  type        = list(string)
  default     = []
  description = "Customer-managed keys of volumes that are restored or copied."
  validation {
    condition     = alltrue([for key in var.kms_key_arns : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", key))])
    error_message = "ARNs of keys, not of aliases."
  }
}

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "SNS topic that alarms are sent to."
}

variable "oldest_restore_point_hours" {
  type        = number
  default     = 30
  description = "Age of the daily policy's newest restore point, in hours, from which on there is an alarm."
  validation {
    condition     = var.oldest_restore_point_hours >= 2 && var.oldest_restore_point_hours <= 720
    error_message = "2 to 720."
  }
}

variable "helper_source" {
  type        = string
  default     = null
  description = "Folder that holds the helper's archives, https://HOST/PATH or s3://BUCKET/PATH; null to install it by other means."
  validation {
    condition     = var.helper_source == null || can(regex("^(https|s3)://[A-Za-z0-9._~:/%+-]+[A-Za-z0-9]$", var.helper_source))
    error_message = "https://HOST/PATH or s3://BUCKET/PATH."
  }
}

variable "helper_version" {
  type        = string
  default     = "0.1.0"
  description = "Version of the helper that tagged instances get."
  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+(-[0-9A-Za-z.]+)?$", var.helper_version))
    error_message = "A version, as 0.1.0."
  }
}

variable "helper_sha256_arm64" {
  type        = string
  default     = "none"
  description = "SHA-256 of the archive for arm64, or none."
  validation {
    condition     = can(regex("^([0-9a-f]{64}|none)$", var.helper_sha256_arm64))
    error_message = "64 hexadecimal digits in lower case, or none."
  }
}

variable "helper_sha256_x8664" {
  type        = string
  default     = "none"
  description = "SHA-256 of the archive for x86_64, or none."
  validation {
    condition     = can(regex("^([0-9a-f]{64}|none)$", var.helper_sha256_x8664))
    error_message = "64 hexadecimal digits in lower case, or none."
  }
}

variable "tags" {
  type        = map(string)
  default     = {}
  description = "Further tags of everything here."
}
