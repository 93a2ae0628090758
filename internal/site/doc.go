// Package site owns the whole installation that tests run against: a vCenter with guests, hubs, gateways and the Terraform
// CLI, each a process of its own as people run them, with the networks between them. What stands in a site can be killed,
// stopped and started again, its paths can be cut, frozen and slowed down, and Verify says whether the machines are what
// they should be all the same. Only tests import it.
package site
