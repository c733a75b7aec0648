az network application-gateway rewrite-rule set create \
  --resource-group example --gateway-name api --name client-certificate
az network application-gateway rewrite-rule create \
  --resource-group example --gateway-name api --rule-set-name client-certificate --name set-headers \
  --request-headers \
  'X-Client-Cert={var_client_certificate}' \
  'X-Client-Cert-Verification={var_client_certificate_verification}' \
  'X-Proxy-Secret=change-this-secret' \
  'X-Forwarded-For={var_client_ip}'
