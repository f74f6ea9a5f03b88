"""Operations on a running node, for other programs: the HTTP API and the control socket share them."""
