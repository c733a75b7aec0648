# An Application Load Balancer asks for the client certificate and hands it on.
resource "aws_lb_listener" "api" {
  load_balancer_arn = aws_lb.api.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = aws_acm_certificate.api.arn

  # Takes any certificate, self-signed ones too; the API compares it with the token.
  mutual_authentication {
    mode = "passthrough"
  }

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.api.arn
  }
}

# The load balancer can't set a shared secret, so only the load balancer may reach the API.
resource "aws_security_group_rule" "api_from_load_balancer_alone" {
  type                     = "ingress"
  security_group_id        = aws_security_group.api.id
  source_security_group_id = aws_security_group.load_balancer.id
  protocol                 = "tcp"
  from_port                = 3000
  to_port                  = 3000
}
