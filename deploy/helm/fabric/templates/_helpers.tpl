{{/* The base name of all objects in this release. A pod's name is a node's name, which begins with a letter and has at most 63 characters. */}}
{{- define "fabric.name" -}}
{{- if hasPrefix "fabric" .Release.Name }}{{ .Release.Name | trunc 30 | trimSuffix "-" }}{{ else }}{{ printf "fabric-%s" .Release.Name | trunc 30 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "fabric.selector" -}}
app.kubernetes.io/name: fabric
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fabric.labels" -}}
{{ include "fabric.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "fabric.storeSecret" -}}
{{- if .Values.store.existingSecret }}{{ .Values.store.existingSecret }}{{ else if .Values.store.credentials }}{{ include "fabric.name" . }}-store{{ end }}
{{- end }}

{{/* The Secret with the CA certificate of NATS. */}}
{{- define "fabric.natsCa" -}}
{{- if .Values.nats.server.enabled }}{{ include "fabric.name" . }}-nats{{ else }}{{ .Values.nats.caSecret }}{{ end }}
{{- end }}

{{/* A pod of one role. Parameters: `root`, `role`, and `grace` in seconds. */}}
{{- define "fabric.pod" -}}
{{- $root := .root }}
{{- $values := $root.Values }}
{{- $own := index $values .role }}
metadata:
  labels:
    {{- include "fabric.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
  {{- if include "fabric.storeSecret" $root }}
  annotations:
    # A changed password restarts the pods.
    checksum/store: {{ $values.store | toJson | sha256sum }}
  {{- end }}
spec:
  serviceAccountName: {{ include "fabric.name" $root }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ .grace }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    seccompProfile: {type: RuntimeDefault}
  {{- with $values.image.pullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.affinity }}
  affinity: {{ toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "fabric.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ .role }}
  containers:
    - name: fabric
      image: "{{ $values.image.repository }}:{{ $values.image.tag | default $root.Chart.AppVersion }}"
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: ["serve", "--role", {{ .role | quote }}]
      env:
        - name: POD_IP
          valueFrom: {fieldRef: {fieldPath: status.podIP}}
        - name: FABRIC_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - name: FABRIC_DATA
          value: /var/lib/fabric
        - name: FABRIC_LISTEN
          value: "0.0.0.0:{{ $values.port }}"
        - name: FABRIC_ADVERTISE
          value: "http://$(POD_IP):{{ $values.port }}"
        - name: FABRIC_LOG_FORMAT
          value: json
        - name: FABRIC_STORE
          value: {{ required "store.url is needed: s3://BUCKET/PREFIX" $values.store.url | quote }}
        {{- if $values.nats.server.enabled }}
        - name: NATS_PASSWORD
          valueFrom: {secretKeyRef: {name: {{ include "fabric.name" $root }}-nats, key: password}}
        - name: FABRIC_NATS
          value: "tls://fabric:$(NATS_PASSWORD)@{{ include "fabric.name" $root }}-nats:4222"
        {{- else }}
        - name: FABRIC_NATS
          value: {{ required "nats.url is needed: nats://HOST:4222, or nats.server.enabled" $values.nats.url | quote }}
        {{- end }}
        {{- if $values.nats.existingSecret }}
        - name: FABRIC_NATS_CREDS
          value: /etc/fabric/nats/nats.creds
        {{- end }}
        {{- if include "fabric.natsCa" $root }}
        - name: FABRIC_NATS_CA
          value: /etc/fabric/nats-ca/ca.crt
        {{- end }}
        # All machines have to remove this pod from the Service before it stops listening; no preStop is needed.
        - name: FABRIC_SHUTDOWN_DELAY
          value: {{ $values.shutdownDelaySeconds | quote }}
        # The pod's grace period, less the time for requests under way (20 s) and for the rest of the shutdown (25 s).
        - name: FABRIC_DRAIN_TIMEOUT
          value: {{ sub (int .grace) 45 | quote }}
        # Plain HTTP inside the cluster; the NetworkPolicy restricts access to it.
        - name: FABRIC_INSECURE_LISTEN
          value: "true"
        {{- if and (eq .role "node") (gt (int $own.slots) 0) }}
        - name: FABRIC_SLOTS
          value: {{ $own.slots | quote }}
        {{- end }}
        {{- range $name, $value := $values.env }}
        - name: {{ $name }}
          value: {{ $value | quote }}
        {{- end }}
      {{- with include "fabric.storeSecret" $root }}
      envFrom:
        - secretRef: {name: {{ . }}}
      {{- end }}
      ports:
        - {name: http, containerPort: {{ $values.port }}}
      # Reading all journals after a takeover takes a while. It affects readiness, not liveness.
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      resources: {{ toYaml $own.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: data, mountPath: /var/lib/fabric}
        {{- if $values.nats.existingSecret }}
        - {name: nats, mountPath: /etc/fabric/nats, readOnly: true}
        {{- end }}
        {{- if include "fabric.natsCa" $root }}
        - {name: nats-ca, mountPath: /etc/fabric/nats-ca, readOnly: true}
        {{- end }}
  volumes:
    - name: data
      emptyDir: {sizeLimit: {{ $own.dataSize }}}
    {{- if $values.nats.existingSecret }}
    - name: nats
      secret: {secretName: {{ $values.nats.existingSecret }}}
    {{- end }}
    {{- if include "fabric.natsCa" $root }}
    - name: nats-ca
      secret: {secretName: {{ include "fabric.natsCa" $root }}, items: [{key: ca.crt, path: ca.crt}]}
    {{- end }}
{{- end }}
