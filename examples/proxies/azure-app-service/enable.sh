# Azure App Service asks for the client certificate and hands it on in X-ARR-ClientCert.
# The front end sets no secret of yours; nothing but the front end can reach the app.
az webapp update --resource-group example --name api --set clientCertEnabled=true
az webapp update --resource-group example --name api --set clientCertMode=Optional
az webapp config set --resource-group example --name api --min-tls-version 1.2
