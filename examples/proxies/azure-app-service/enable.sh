az webapp update --resource-group example --name api --set clientCertEnabled=true
az webapp update --resource-group example --name api --set clientCertMode=Optional
az webapp config set --resource-group example --name api --min-tls-version 1.2
