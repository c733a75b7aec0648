# BIG-IP: the client SSL profile is set to "request" the client certificate.
when HTTP_REQUEST {
  # What the client says of these headers never goes on.
  HTTP::header remove "X-Client-Cert"
  HTTP::header remove "X-Proxy-Secret"
  HTTP::header remove "X-Forwarded-For"
  if { [SSL::cert count] > 0 } {
    HTTP::header insert "X-Client-Cert" [b64encode [SSL::cert 0]]
  }
  HTTP::header insert "X-Proxy-Secret" "change-this-secret"
  HTTP::header insert "X-Forwarded-For" [IP::client_addr]
}
