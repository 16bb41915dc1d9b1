variable "region" {
  description = "Where everything is; the venue must serve it."
  type        = string
}

variable "image" {
  description = "Image with its tag or digest, such as ACCOUNT.dkr.ecr.REGION.amazonaws.com/aegis:1."
  type        = string
}

variable "vpc_id" {
  description = "Network of task and database."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets behind one NAT gateway, whose address is in the venue's key list."
  type        = list(string)
}

variable "client_security_group_ids" {
  description = "Who reaches the API inside the network; everybody still needs a token."
  type        = list(string)
  default     = []
}

variable "trading_mode" {
  description = "paper, or live; the arming switches stay off until they are set by hand."
  type        = string
  default     = "paper"
  validation {
    condition     = contains(["paper", "live"], var.trading_mode)
    error_message = "paper or live."
  }
}

variable "database_class" {
  description = "Size of PostgreSQL; a slow one delays no order."
  type        = string
  default     = "db.t4g.small"
}
