output "tapes_bucket" {
  description = "Where `aegis record` copies finished tapes."
  value       = aws_s3_bucket.tapes.bucket
}

output "secret_arns" {
  description = "Secrets to be written by hand before the first start."
  value       = local.secrets
}

output "database_address" {
  description = "For the url in aegis/database; its master password is in a secret of RDS."
  value       = aws_db_instance.database.address
}
