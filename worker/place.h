/*
 * place - which of a server's ports is spoken to
 *
 * Process: worker. Pure. Druid's services may have a plain port, a TLS port or
 * both (druid.enablePlaintextPort, druid.enableTlsPort).
 */
#pragma once

#include "base.h"

struct place {
	int port;
	bool is_tls;
};

/* tls_only: druid.tls.enable. Else the plain port comes first. A port that is
 * not there is 0 or less. False: none that may be used. */
bool place_choose(struct place *, bool tls_only, int port, int tls_port);
/* "host:port", with brackets around an IPv6 address; new. */
char *place_text(const char *host, int port);
/* "http://host:port", with brackets around an IPv6 address; new. */
char *place_url(const char *host, const struct place *);

/* Why a server without a TLS port is not used. */
#define PLACE_NO_TLS                                          \
	"has no TLS port, and druid.tls.enable is true; set " \
	"druid.enableTlsPort in Druid, or druid.tls.enable to false"
