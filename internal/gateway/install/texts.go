package install

// The commands are one command to the shell, in parentheses: it has read all of them before the first one runs, so that the
// pairing finds only the token at its standard input when somebody pastes them, and a failure ends them but not the shell.
var commands = parse("commands", `
# As root on a Linux machine that reaches the vCenter, for gateway {{.Name}}.
(
set -eu
{{- if .Proxy}}
export HTTPS_PROXY={{quote .Proxy}}
{{- end}}
{{- if .CA}}
install -d -m 0755 /etc/palette-gateway
cat > /etc/palette-gateway/hub-ca.pem <<'END-OF-CA'
{{trim .CA}}
END-OF-CA
{{- end}}
curl --fail --silent --show-error --location{{if .CA}} --cacert /etc/palette-gateway/hub-ca.pem{{end}} \
  --output /run/terraform-provider-palette {{quote .Binary}}
{{- if .SHA256}}
echo {{quote .SHA256}} /run/terraform-provider-palette | sha256sum --check --strict -
{{- end}}
install -m 0755 /run/terraform-provider-palette /usr/local/bin/terraform-provider-palette
rm /run/terraform-provider-palette
id palette-gateway >/dev/null 2>&1 || useradd --system --home-dir /var/lib/palette-gateway --shell /usr/sbin/nologin palette-gateway
install -d -m 0700 -o palette-gateway -g palette-gateway /var/lib/palette-gateway
cat > /etc/systemd/system/palette-gateway.service <<'END-OF-UNIT'
{{unit}}END-OF-UNIT
# The pairing token is read from the terminal, so that it is in no history.
echo 'Paste the pairing token, then press Enter and Ctrl-D:'
runuser -u palette-gateway -- /usr/local/bin/terraform-provider-palette gateway pair --hub {{quote .Hub}}
{{- if .CA}} --ca-file /etc/palette-gateway/hub-ca.pem{{end}}
{{- if .Proxy}} --proxy {{quote .Proxy}}{{end}} --token-file -
systemctl daemon-reload
systemctl enable --now palette-gateway.service
)
`)

var container = parse("container", `
# On a machine with Docker or Podman that reaches the vCenter, for gateway {{.Name}}. Put the pairing token into ./pairing-token first.
(
set -eu
{{- if .CA}}
cat > ./hub-ca.pem <<'END-OF-CA'
{{trim .CA}}
END-OF-CA
chmod 0644 ./hub-ca.pem
{{- end}}
docker volume create palette-gateway
docker run --rm -i -v palette-gateway:/var/lib/palette-gateway
{{- if .CA}} -v "$PWD/hub-ca.pem:/hub-ca.pem:ro"{{end}} {{quote .Image}} \
  gateway pair --data-dir /var/lib/palette-gateway/identity --hub {{quote .Hub}}
{{- if .CA}} --ca-file /hub-ca.pem{{end}}
{{- if .Proxy}} --proxy {{quote .Proxy}}{{end}} --token-file - < ./pairing-token
rm ./pairing-token
docker run --detach --name palette-gateway --restart always \
  --read-only --cap-drop ALL --security-opt no-new-privileges --stop-timeout 40 \
  -v palette-gateway:/var/lib/palette-gateway {{quote .Image}} \
  gateway run --data-dir /var/lib/palette-gateway/identity
)
`)

var cloudInit = parse("cloud-init", `
#cloud-config
# A machine that becomes a replica of gateway {{.Name}} when it boots for the first time.
users:
  - default
  - name: palette-gateway
    system: true
    shell: /usr/sbin/nologin
    homedir: /var/lib/palette-gateway
    no_create_home: true
write_files:
  - path: /etc/palette-gateway/pairing-token
    permissions: "0600"
    content: |
      {{.Token}}
  - path: /etc/palette-gateway/environment
    permissions: "0600"
    content: |
      PALETTE_HUB={{setting .Hub}}
{{- if .Proxy}}
      HTTPS_PROXY={{setting .Proxy}}
{{- end}}
{{- if .CA}}
  - path: /etc/palette-gateway/hub-ca.pem
    permissions: "0644"
    content: |
{{indent 6 .CA}}
{{- end}}
  - path: /usr/local/sbin/palette-gateway-install
    permissions: "0755"
    content: |
      #!/bin/sh
      set -eu
      set -a; . /etc/palette-gateway/environment; set +a
      curl --fail --silent --show-error --location --retry 30 --retry-delay 5 --retry-all-errors
{{- if .CA}} --cacert /etc/palette-gateway/hub-ca.pem{{end}} \
        --output /run/terraform-provider-palette {{quote .Binary}}
{{- if .SHA256}}
      echo {{quote .SHA256}} /run/terraform-provider-palette | sha256sum --check --strict -
{{- end}}
      install -m 0755 /run/terraform-provider-palette /usr/local/bin/terraform-provider-palette
      install -d -m 0700 -o palette-gateway -g palette-gateway /var/lib/palette-gateway
      if [ ! -e /var/lib/palette-gateway/identity.json ]; then
        runuser -u palette-gateway -- /usr/local/bin/terraform-provider-palette gateway pair --hub "$PALETTE_HUB"
{{- if .CA}} --ca-file /etc/palette-gateway/hub-ca.pem{{end}} \
          --token-file - < /etc/palette-gateway/pairing-token
      fi
      rm -f /etc/palette-gateway/pairing-token /run/terraform-provider-palette
  - path: /etc/systemd/system/palette-gateway.service
    permissions: "0644"
    content: |
{{indent 6 unit}}
runcmd:
  - [/usr/local/sbin/palette-gateway-install]
  - [systemctl, daemon-reload]
  - [systemctl, enable, --now, palette-gateway.service]
`)

var kubernetes = parse("kubernetes", `
# Gateway {{.Name}} in a cluster that reaches the vCenter. The pairing token is good for one replica, once: the secret can be
# deleted when the pod is ready.
apiVersion: v1
kind: Namespace
metadata:
  name: palette-gateway
---
apiVersion: v1
kind: Secret
metadata:
  name: palette-gateway-pairing
  namespace: palette-gateway
stringData:
  token: {{json .Token}}
{{- if .Proxy}}
  proxy: {{json .Proxy}}
{{- end}}
{{- if .CA}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: palette-gateway-ca
  namespace: palette-gateway
data:
  hub-ca.pem: |
{{indent 4 .CA}}
{{- end}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: palette-gateway
  namespace: palette-gateway
spec:
  serviceName: palette-gateway
  replicas: 1
  selector:
    matchLabels: {app.kubernetes.io/name: palette-gateway}
  template:
    metadata:
      labels: {app.kubernetes.io/name: palette-gateway}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 40
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        # Kubernetes would open the keys to the group at each start.
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile: {type: RuntimeDefault}
      initContainers:
        - name: pair
          image: {{json .Image}}
          args: [gateway, pair, --if-needed, --data-dir, /state/identity, --hub, {{json .Hub}}
{{- if .CA}}, --ca-file, /ca/hub-ca.pem{{end}}]
          env:
            - name: PALETTE_PAIRING_TOKEN
              valueFrom: {secretKeyRef: {name: palette-gateway-pairing, key: token, optional: true}}
{{- if .Proxy}}
            - name: HTTPS_PROXY
              valueFrom: {secretKeyRef: {name: palette-gateway-pairing, key: proxy, optional: true}}
{{- end}}
          securityContext: &confined
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts: &mounts
            - {name: state, mountPath: /state}
{{- if .CA}}
            - {name: ca, mountPath: /ca, readOnly: true}
{{- end}}
      containers:
        - name: gateway
          image: {{json .Image}}
          args: [gateway, run, --data-dir, /state/identity, --health-listen, ":9808"]
{{- if .Proxy}}
          env:
            - name: HTTPS_PROXY
              valueFrom: {secretKeyRef: {name: palette-gateway-pairing, key: proxy, optional: true}}
{{- end}}
          ports:
            - {name: health, containerPort: 9808}
          readinessProbe:
            httpGet: {path: /readyz, port: health}
          livenessProbe:
            httpGet: {path: /healthz, port: health}
            periodSeconds: 30
          resources:
            requests: {cpu: 50m, memory: 64Mi}
            limits: {memory: 512Mi}
          securityContext: *confined
          volumeMounts: *mounts
{{- if .CA}}
      volumes:
        - name: ca
          configMap: {name: palette-gateway-ca}
{{- end}}
  volumeClaimTemplates:
    - metadata:
        name: state
      spec:
        accessModes: [ReadWriteOnce]
        resources: {requests: {storage: 64Mi}}
`)
