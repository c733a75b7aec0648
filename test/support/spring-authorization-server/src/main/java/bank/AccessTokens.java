package bank;

import java.util.List;
import java.util.Set;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.server.authorization.OAuth2TokenType;
import org.springframework.security.oauth2.server.authorization.authentication.OAuth2AuthorizationGrantAuthenticationToken;
import org.springframework.security.oauth2.server.authorization.token.JwtEncodingContext;
import org.springframework.security.oauth2.server.authorization.token.OAuth2TokenClaimsContext;
import org.springframework.security.oauth2.server.authorization.token.OAuth2TokenContext;

/** Writes access tokens as RFC 9068 has them, for the API that the client names by {@code resource}. */
final class AccessTokens {
  private static final Set<String> APIS = Set.of("https://api.example.com", "https://other-api.example.com");

  static void customize(JwtEncodingContext token) {
    if (OAuth2TokenType.ACCESS_TOKEN.equals(token.getTokenType())) {
      token.getJwsHeader().type("at+jwt").algorithm(SignatureAlgorithm.ES256);
      token.getClaims()
        .audience(audience(token))
        .claim("client_id", token.getRegisteredClient().getClientId())
        .claim("scope", String.join(" ", token.getAuthorizedScopes()));
    }
  }

  static void customize(OAuth2TokenClaimsContext token) {
    token.getClaims().audience(audience(token));
  }

  static List<String> audience(OAuth2TokenContext token) {
    OAuth2AuthorizationGrantAuthenticationToken grant = token.getAuthorizationGrant();
    Object resource = grant.getAdditionalParameters().get("resource");
    if (resource == null) {
      return List.of(token.getRegisteredClient().getClientId());
    }
    if (!APIS.contains(resource)) {
      throw new OAuth2AuthenticationException("invalid_target");
    }
    return List.of((String) resource);
  }
}
