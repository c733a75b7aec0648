package bank;

import com.nimbusds.jose.KeySourceException;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.proc.SecurityContext;
import java.io.File;
import java.io.IOException;
import java.text.ParseException;
import java.util.Map;
import java.util.Set;
import org.apache.catalina.connector.Connector;
import org.apache.coyote.http11.Http11NioProtocol;
import org.apache.tomcat.util.net.SSLHostConfig;
import org.apache.tomcat.util.net.SSLHostConfigCertificate;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.tomcat.servlet.TomcatServletWebServerFactory;
import org.springframework.boot.web.server.WebServerFactoryCustomizer;
import org.springframework.context.annotation.Bean;
import org.springframework.core.annotation.Order;
import org.springframework.http.MediaType;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.annotation.web.configurers.AbstractHttpConfigurer;
import org.springframework.security.core.userdetails.User;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.crypto.bcrypt.BCryptPasswordEncoder;
import org.springframework.security.crypto.password.PasswordEncoder;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.JwtEncoder;
import org.springframework.security.oauth2.jwt.NimbusJwtEncoder;
import org.springframework.security.oauth2.server.authorization.token.JwtEncodingContext;
import org.springframework.security.oauth2.server.authorization.token.OAuth2TokenClaimsContext;
import org.springframework.security.oauth2.server.authorization.token.OAuth2TokenCustomizer;
import org.springframework.security.oauth2.server.authorization.web.authentication.PublicClientAuthenticationConverter;
import org.springframework.security.provisioning.InMemoryUserDetailsManager;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.security.web.authentication.LoginUrlAuthenticationEntryPoint;
import org.springframework.security.web.util.matcher.MediaTypeRequestMatcher;

/**
 * An authorization server for tests, with two ports: one for users and for clients with a secret, and one that asks for
 * client certificates, which {@code mtls_endpoint_aliases} names (RFC 8705 §5).
 */
@SpringBootApplication
public class AuthorizationServer {
  public static void main(String[] args) {
    SpringApplication.run(AuthorizationServer.class, args);
  }

  @Bean
  @Order(1)
  SecurityFilterChain endpoints(HttpSecurity http, @Value("${bank.mutual-tls}") String mutualTls) {
    Map<String, String> aliases = Map.of(
      "token_endpoint", mutualTls + "/oauth2/token",
      "introspection_endpoint", mutualTls + "/oauth2/introspect",
      "revocation_endpoint", mutualTls + "/oauth2/revoke"
    );
    MediaTypeRequestMatcher browsers = new MediaTypeRequestMatcher(MediaType.TEXT_HTML);
    browsers.setIgnoredMediaTypes(Set.of(MediaType.ALL));
    return http
      .oauth2AuthorizationServer(server -> {
        http.securityMatcher(server.getEndpointsMatcher());
        // Otherwise a client with a certificate and a code_verifier (RFC 7636) counts as one without credentials.
        server.clientAuthentication(authentication ->
          authentication.authenticationConverters(converters -> {
            converters.removeIf(PublicClientAuthenticationConverter.class::isInstance);
            converters.add(new PublicClientAuthenticationConverter());
          }));
        server.authorizationServerMetadataEndpoint(endpoint ->
          endpoint.authorizationServerMetadataCustomizer(metadata ->
            metadata.claim("mtls_endpoint_aliases", aliases)));
        server.oidc(oidc ->
          oidc.providerConfigurationEndpoint(endpoint ->
            endpoint.providerConfigurationCustomizer(metadata ->
              metadata.claim("mtls_endpoint_aliases", aliases))));
      })
      .authorizeHttpRequests(requests -> requests.anyRequest().authenticated())
      .exceptionHandling(errors ->
        errors.defaultAuthenticationEntryPointFor(new LoginUrlAuthenticationEntryPoint("/login"), browsers))
      .build();
  }

  /** The tests log users in without a browser, which would send the token of the login page. */
  @Bean
  @Order(2)
  SecurityFilterChain login(HttpSecurity http) {
    return http
      .authorizeHttpRequests(requests -> requests.anyRequest().authenticated())
      .formLogin(Customizer.withDefaults())
      .csrf(AbstractHttpConfigurer::disable)
      .build();
  }

  @Bean
  UserDetailsService users(PasswordEncoder secrets, @Value("${bank.user-password}") String password) {
    return new InMemoryUserDetailsManager(
      User.withUsername("carol").password(secrets.encode(password)).roles("USER").build());
  }

  /** Passwords and secrets are random and live for minutes: to hash them slowly takes time alone. */
  @Bean
  PasswordEncoder secrets() {
    return new BCryptPasswordEncoder(4);
  }

  /** The tests replace the file. */
  @Bean
  JWKSource<SecurityContext> keys() {
    File file = new File("keys.json");
    return (selector, context) -> {
      try {
        return selector.select(JWKSet.load(file));
      } catch (IOException | ParseException error) {
        throw new KeySourceException("can't read " + file, error);
      }
    };
  }

  /** The first key signs. Without a selector Spring signs nothing while the set holds two keys for an algorithm. */
  @Bean
  JwtEncoder encoder(JWKSource<SecurityContext> keys) {
    NimbusJwtEncoder encoder = new NimbusJwtEncoder(keys);
    encoder.setJwkSelector(fitting -> fitting.get(0));
    return encoder;
  }

  @Bean
  OAuth2TokenCustomizer<OAuth2TokenClaimsContext> opaqueTokens() {
    return AccessTokens::customize;
  }

  /** The tokens of some clients lack one thing, or have the audience alone. */
  @Bean
  OAuth2TokenCustomizer<JwtEncodingContext> jwts() {
    return token -> {
      switch (token.getRegisteredClient().getClientId()) {
        case "unchanged" -> {}
        case "audience-only" -> token.getClaims().audience(AccessTokens.audience(token));
        case "rs256" -> {
          AccessTokens.customize(token);
          token.getJwsHeader().algorithm(SignatureAlgorithm.RS256);
        }
        case "without-typ" -> {
          AccessTokens.customize(token);
          token.getJwsHeader().headers(header -> header.remove("typ"));
        }
        case "scope-list" -> {
          AccessTokens.customize(token);
          token.getClaims().claim("scope", token.getAuthorizedScopes());
        }
        case "without-client-id" -> {
          AccessTokens.customize(token);
          token.getClaims().claims(claims -> claims.remove("client_id"));
        }
        default -> AccessTokens.customize(token);
      }
    };
  }

  /** The port that asks for no certificate. The one of {@code server.port} does. */
  @Bean
  WebServerFactoryCustomizer<TomcatServletWebServerFactory> withoutCertificates(@Value("${bank.port}") int port) {
    return factory -> {
      Connector connector = new Connector();
      connector.setPort(port);
      connector.setScheme("https");
      connector.setSecure(true);
      connector.setProperty("address", "127.0.0.1");
      Http11NioProtocol protocol = (Http11NioProtocol) connector.getProtocolHandler();
      protocol.setSSLEnabled(true);
      SSLHostConfig host = new SSLHostConfig();
      SSLHostConfigCertificate certificate =
        new SSLHostConfigCertificate(host, SSLHostConfigCertificate.Type.UNDEFINED);
      certificate.setCertificateFile(new File("server.pem").getAbsolutePath());
      certificate.setCertificateKeyFile(new File("server.key").getAbsolutePath());
      host.addCertificate(certificate);
      protocol.addSslHostConfig(host);
      factory.addAdditionalConnectors(connector);
    };
  }
}
