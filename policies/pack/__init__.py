"""The policy pack: a thin coat over `policies.rules`. It never remediates: that would write secrets in plain."""
