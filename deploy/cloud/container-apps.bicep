param environmentId string
param gateImage string
param serverImage string
param location string = resourceGroup().location

resource records 'Microsoft.App/containerApps@2024-03-01' = {
  name: 'records'
  location: location
  properties: {
    environmentId: environmentId
    configuration: {
      ingress: {
        external: false
        targetPort: 8080
        transport: 'http'
        // Sessions of clients up to MCP 2025-11-25 are known to one replica.
        stickySessions: { affinity: 'sticky' }
      }
    }
    template: {
      terminationGracePeriodSeconds: 60
      containers: [
        {
          name: 'gate'
          image: gateImage
          args: ['run', '--server=records=http://127.0.0.1:8000/mcp', '--listen=0.0.0.0:8080', '--admin=0.0.0.0:9901']
          env: [{ name: 'OTEL_TRACES_EXPORTER', value: 'none' }]
          resources: { cpu: json('0.25'), memory: '0.5Gi' }
          probes: [
            { type: 'Liveness', httpGet: { path: '/livez', port: 9901 } }
            { type: 'Readiness', httpGet: { path: '/readyz', port: 9901 } }
          ]
        }
        {
          name: 'server'
          image: serverImage
          env: [{ name: 'HOST', value: '127.0.0.1' }]
          resources: { cpu: json('0.5'), memory: '1Gi' }
        }
      ]
    }
  }
}
