# ECS on Fargate, PostgreSQL, a bucket for tapes, and the secrets, in a network that is there already.
# The task and the service are those of ../ecs-task.json and ../ecs-service.json: one truth for both.

data "aws_caller_identity" "current" {}

locals {
  written = file("${path.module}/../ecs-task.json")
  # As a word of its own: AWS_REGION is the name of a variable.
  placed  = replace(local.written, "/([:.\"])REGION([:.\"])/", "$${1}${var.region}$${2}")
  named   = replace(local.placed, "ACCOUNT", data.aws_caller_identity.current.account_id)
  task    = jsondecode(local.named)
  service = jsondecode(file("${path.module}/../ecs-service.json"))
  secrets = {
    binance  = aws_secretsmanager_secret.held["binance"].arn
    database = aws_secretsmanager_secret.held["database"].arn
    api      = aws_secretsmanager_secret.held["api"].arn
  }
  changed = { TRADING_MODE = var.trading_mode }
  container = merge(local.task.containerDefinitions[0], {
    image = var.image
    environment = concat(
      [for each in local.task.containerDefinitions[0].environment : merge(each, {
        value = lookup(local.changed, each.name, each.value)
      })],
      [{ name = "S3_BUCKET", value = aws_s3_bucket.tapes.bucket }],
    )
    # The arn of a secret ends in six letters that nobody knows beforehand.
    secrets = [for each in local.task.containerDefinitions[0].secrets : merge(each, {
      valueFrom = join(":", concat(
        [local.secrets[split("/", split(":", each.valueFrom)[6])[1]]],
        slice(split(":", each.valueFrom), 7, 10),
      ))
    })]
  })
}

resource "aws_secretsmanager_secret" "held" {
  for_each    = toset(["binance", "database", "api"])
  name        = "aegis/${each.key}"
  description = "Written by hand: binance {api_key, api_secret}, database {url}, api {token}."
}

resource "aws_cloudwatch_log_group" "engine" {
  name              = "/aegis"
  retention_in_days = 90
}

resource "aws_s3_bucket" "tapes" {
  bucket_prefix = "aegis-tapes-"
}

resource "aws_s3_bucket_public_access_block" "tapes" {
  bucket                  = aws_s3_bucket.tapes.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_security_group" "engine" {
  name_prefix = "aegis-"
  vpc_id      = var.vpc_id
  ingress {
    description     = "API and page"
    from_port       = 8080
    to_port         = 8080
    protocol        = "tcp"
    security_groups = var.client_security_group_ids
  }
  egress {
    description = "venue, database, registry, logs"
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_security_group" "database" {
  name_prefix = "aegis-database-"
  vpc_id      = var.vpc_id
  ingress {
    description     = "the engine alone"
    from_port       = 5432
    to_port         = 5432
    protocol        = "tcp"
    security_groups = [aws_security_group.engine.id]
  }
}

resource "aws_db_subnet_group" "database" {
  name_prefix = "aegis-"
  subnet_ids  = var.subnet_ids
}

resource "aws_db_instance" "database" {
  identifier_prefix           = "aegis-"
  engine                      = "postgres"
  engine_version              = "17"
  instance_class              = var.database_class
  allocated_storage           = 20
  max_allocated_storage       = 200
  db_name                     = "aegis"
  username                    = "aegis"
  manage_master_user_password = true
  storage_encrypted           = true
  publicly_accessible         = false
  backup_retention_period     = 7
  deletion_protection         = true
  skip_final_snapshot         = false
  final_snapshot_identifier   = "aegis-last"
  db_subnet_group_name        = aws_db_subnet_group.database.name
  vpc_security_group_ids      = [aws_security_group.database.id]
}

data "aws_iam_policy_document" "tasks" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "execution" {
  name_prefix        = "aegis-execution-"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_role_policy" "secrets" {
  role = aws_iam_role.execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue"]
      Resource = values(local.secrets)
    }]
  })
}

resource "aws_iam_role" "task" {
  name_prefix        = "aegis-task-"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_iam_role_policy" "tapes" {
  role = aws_iam_role.task.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["s3:PutObject", "s3:GetObject"]
      Resource = "${aws_s3_bucket.tapes.arn}/*"
    }]
  })
}

resource "aws_ecs_cluster" "engine" {
  name = "aegis"
}

resource "aws_ecs_task_definition" "engine" {
  family                   = local.task.family
  requires_compatibilities = local.task.requiresCompatibilities
  network_mode             = local.task.networkMode
  cpu                      = local.task.cpu
  memory                   = local.task.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode([local.container])
  runtime_platform {
    operating_system_family = local.task.runtimePlatform.operatingSystemFamily
    cpu_architecture        = local.task.runtimePlatform.cpuArchitecture
  }
}

resource "aws_ecs_service" "engine" {
  name            = local.service.serviceName
  cluster         = aws_ecs_cluster.engine.id
  task_definition = aws_ecs_task_definition.engine.arn
  launch_type     = local.service.launchType
  desired_count   = local.service.desiredCount
  # Never two engines of one account at once.
  deployment_minimum_healthy_percent = local.service.deploymentConfiguration.minimumHealthyPercent
  deployment_maximum_percent         = local.service.deploymentConfiguration.maximumPercent
  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.engine.id]
    assign_public_ip = false
  }
}
