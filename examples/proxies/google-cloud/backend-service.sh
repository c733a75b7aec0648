# A Google Cloud Application Load Balancer asks for the client certificate and hands it on.
# The policy lets requests without a valid certificate pass too; Google sends the header for valid certificates only.
cat > server-tls-policy.yaml <<POLICY
name: api-clients
mtlsPolicy:
  clientValidationMode: ALLOW_INVALID_OR_MISSING_CLIENT_CERT
  clientValidationTrustConfig: projects/PROJECT/locations/global/trustConfigs/api-clients
POLICY
gcloud network-security server-tls-policies import api-clients --source=server-tls-policy.yaml --location=global

# Attach the policy to the target HTTPS proxy, then set the headers, all in one place.
gcloud compute backend-services update api --global \
  --custom-request-header='X-Client-Cert-Leaf:{client_cert_leaf}' \
  --custom-request-header='X-Client-Cert-Chain-Verified:{client_cert_chain_verified}' \
  --custom-request-header='X-Proxy-Secret:change-this-secret'
