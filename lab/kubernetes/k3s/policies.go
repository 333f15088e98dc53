package main

import "context"

func enforcePolicies(ctx context.Context, s *server) { <-ctx.Done() }
