package bank;

import static org.springframework.security.oauth2.core.AuthorizationGrantType.AUTHORIZATION_CODE;
import static org.springframework.security.oauth2.core.AuthorizationGrantType.CLIENT_CREDENTIALS;
import static org.springframework.security.oauth2.core.AuthorizationGrantType.REFRESH_TOKEN;
import static org.springframework.security.oauth2.core.ClientAuthenticationMethod.CLIENT_SECRET_BASIC;
import static org.springframework.security.oauth2.core.ClientAuthenticationMethod.CLIENT_SECRET_POST;
import static org.springframework.security.oauth2.core.ClientAuthenticationMethod.SELF_SIGNED_TLS_CLIENT_AUTH;
import static org.springframework.security.oauth2.core.ClientAuthenticationMethod.TLS_CLIENT_AUTH;

import java.time.Duration;
import java.util.List;
import java.util.Set;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.crypto.password.PasswordEncoder;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.server.authorization.client.InMemoryRegisteredClientRepository;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClient;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClientRepository;
import org.springframework.security.oauth2.server.authorization.settings.ClientSettings;
import org.springframework.security.oauth2.server.authorization.settings.OAuth2TokenFormat;
import org.springframework.security.oauth2.server.authorization.settings.TokenSettings;

/** The API's own client, and those that come to it. */
@Configuration
class Clients {
  private static final Set<String> SCOPES = Set.of("accounts:read", "payments:write");

  /** By a certificate of this name; their tokens differ from those of {@code alice} as AuthorizationServer says. */
  private static final List<String> VARIANTS =
    List.of("unchanged", "rs256", "without-typ", "scope-list", "without-client-id");

  @Bean
  RegisteredClientRepository registeredClients(
    PasswordEncoder secrets,
    @Value("${bank.api-secret}") String apiSecret,
    @Value("${bank.unbound-secret}") String unboundSecret,
    @Value("${bank.jwk-set-url}") String jwkSetUrl
  ) {
    InMemoryRegisteredClientRepository clients = new InMemoryRegisteredClientRepository(
      client("https://api.example.com")
        .clientSecret(secrets.encode(apiSecret))
        .clientAuthenticationMethod(CLIENT_SECRET_BASIC)
        .clientAuthenticationMethod(TLS_CLIENT_AUTH)
        .clientSettings(subject("CN=proxy"))
        .build(),
      bySelfSigned("api-self-signed", jwkSetUrl, bound().build()),
      byAlice("alice", bound().build()),
      byAlice("alice-opaque", opaque().build()),
      byAlice("hasty", bound().accessTokenTimeToLive(Duration.ofSeconds(2)).build()),
      byAlice("hasty-opaque", opaque().accessTokenTimeToLive(Duration.ofSeconds(2)).build()),
      bySelfSigned("self-signed", jwkSetUrl, bound().build()),
      bySelfSigned("self-signed-opaque", jwkSetUrl, opaque().build()),
      bySecret("unbound", secrets.encode(unboundSecret), bound().build()),
      bySecret("unbound-opaque", secrets.encode(unboundSecret), opaque().build()),
      forUsers("everything", bound().build()),
      forUsers("everything-opaque", opaque().build()),
      forUsers("audience-only", TokenSettings.builder().x509CertificateBoundAccessTokens(true).build())
    );
    VARIANTS.forEach(name -> clients.save(byAlice(name, bound().build())));
    return clients;
  }

  private static RegisteredClient byAlice(String name, TokenSettings tokens) {
    return client(name)
      .clientAuthenticationMethod(TLS_CLIENT_AUTH)
      .clientSettings(subject("O=Example,CN=alice"))
      .tokenSettings(tokens)
      .build();
  }

  private static RegisteredClient bySelfSigned(String name, String jwkSetUrl, TokenSettings tokens) {
    return client(name)
      .clientAuthenticationMethod(SELF_SIGNED_TLS_CLIENT_AUTH)
      .clientSettings(ClientSettings.builder().jwkSetUrl(jwkSetUrl).build())
      .tokenSettings(tokens)
      .build();
  }

  /** Spring binds tokens to the certificate by which the client authenticates alone: these are bound to nothing. */
  private static RegisteredClient bySecret(String name, String secret, TokenSettings tokens) {
    return client(name)
      .clientSecret(secret)
      .clientAuthenticationMethod(CLIENT_SECRET_POST)
      .tokenSettings(tokens)
      .build();
  }

  private static RegisteredClient forUsers(String name, TokenSettings tokens) {
    return client(name)
      .clientAuthenticationMethod(TLS_CLIENT_AUTH)
      .clientSettings(subject("O=Example,CN=alice"))
      .authorizationGrantType(AUTHORIZATION_CODE)
      .authorizationGrantType(REFRESH_TOKEN)
      .redirectUri("https://client.example.com/callback")
      .scope("openid")
      .tokenSettings(tokens)
      .build();
  }

  private static RegisteredClient.Builder client(String name) {
    return RegisteredClient.withId(name)
      .clientId(name)
      .authorizationGrantType(CLIENT_CREDENTIALS)
      .scopes(scopes -> scopes.addAll(SCOPES));
  }

  private static ClientSettings subject(String name) {
    return ClientSettings.builder().x509CertificateSubjectDN(name).build();
  }

  private static TokenSettings.Builder bound() {
    return TokenSettings.builder()
      .x509CertificateBoundAccessTokens(true)
      .idTokenSignatureAlgorithm(SignatureAlgorithm.ES256);
  }

  private static TokenSettings.Builder opaque() {
    return bound().accessTokenFormat(OAuth2TokenFormat.REFERENCE);
  }
}
