// Package testkit owns the vCenter that tests and the demo run against: govmomi's simulator made truthful, with an
// inventory a user would recognise and with guests that boot from their own guestinfo. Only tests and the demo import it.
//
// The simulator grants what a vCenter refuses and skips what a vCenter does; each such lie that a check of this project
// would stumble over is put right here, and each correction has a test that fails without it. On a vSAN datastore
// directories are object UUIDs, as on a real one: the disks of a VM "a" lie in "[vsan-prod] <uuid>/a.vmdk".
package testkit
