package gatewayapi

// HubName is the name in the certificate that a hub shows to gateways inside the tunnel, whatever its URL is.
const HubName = "hub.palette.internal"

// ReplicaURI is the name in a replica's certificate.
func ReplicaURI(project, gatewayID, replicaID string) string {
	return "spiffe://palette/project/" + project + "/gateway/" + gatewayID + "/replica/" + replicaID
}

// HeaderInstances tells a hub, when it is dialled for control, which of its instances the gateway has a session with already,
// separated by commas. One of them answers 409: it would only lose the session it has.
const HeaderInstances = "Palette-Hub-Instances"
