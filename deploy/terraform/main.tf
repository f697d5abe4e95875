# The chart as a release of Terraform. Not applied by our tests.
terraform {
  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = "~> 3.0"
    }
  }
}

variable "server_url" {
  type        = string
  description = "The MCP server's Streamable HTTP endpoint"
}

resource "helm_release" "gate" {
  name      = "gate"
  namespace = "mcp"
  chart     = "${path.module}/../helm/tollgate"
  atomic    = true

  values = [yamlencode({
    server     = { name = "records", url = var.server_url }
    policies   = { files = { for file in fileset("${path.module}/policies", "*.yaml") : file => file("${path.module}/policies/${file}") } }
    principals = { existingSecret = "tollgate-principals" }
  })]
}
