cat > server-tls-policy.yaml <<POLICY
name: api-clients
mtlsPolicy:
  clientValidationMode: ALLOW_INVALID_OR_MISSING_CLIENT_CERT
  clientValidationTrustConfig: projects/PROJECT/locations/global/trustConfigs/api-clients
POLICY
gcloud network-security server-tls-policies import api-clients --source=server-tls-policy.yaml --location=global
gcloud compute backend-services update api --global \
  --custom-request-header='X-Client-Cert-Leaf:{client_cert_leaf}' \
  --custom-request-header='X-Client-Cert-Chain-Verified:{client_cert_chain_verified}' \
  --custom-request-header='X-Proxy-Secret:change-this-secret'
