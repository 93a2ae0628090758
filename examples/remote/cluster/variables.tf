variable "vcenter" {
  description = "Host name, address or URL of the vCenter, as the gateway reaches it."
  type        = string
}

variable "vcenter_username" {
  description = "User that owns what is made."
  type        = string
}

variable "vcenter_password" {
  description = "Password of the user. It is in neither plan nor state, and the hub cannot read it."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "vcenter_ca_file" {
  description = "File with the certificate authority of the vCenter, in PEM form. Not set: the gateway's system authorities."
  type        = string
  default     = null
}

variable "cluster_name" {
  description = "Name of the cluster."
  type        = string
  default     = "remote"
}

variable "kubernetes_version" {
  description = "Version of Kubernetes. A template has to carry it."
  type        = string
  default     = "v1.34.1"
}

variable "datacenter" {
  description = "Datacenter to build in."
  type        = string
  default     = "dc-north"
}

variable "compute_cluster" {
  description = "Compute cluster whose hosts run the machines."
  type        = string
  default     = "prod-a"
}

variable "datastore" {
  description = "Datastore of the machines' disks."
  type        = string
  default     = "vsan-prod"
}

variable "network" {
  description = "Network of the machines."
  type        = string
  default     = "pg-k8s-120"
}

variable "subnet" {
  description = "Where the machines' addresses come from."
  type = object({
    first        = string
    last         = string
    prefix       = number
    gateway      = string
    name_servers = list(string)
  })
  default = {
    first        = "10.20.120.50"
    last         = "10.20.120.99"
    prefix       = 24
    gateway      = "10.20.120.1"
    name_servers = ["10.20.0.53"]
  }
}

variable "endpoint" {
  description = "Free address in the same subnet, outside the range above, where the API server answers."
  type        = string
  default     = "10.20.120.10"
}

variable "workers" {
  description = "Number of workers."
  type        = number
  default     = 2
}
