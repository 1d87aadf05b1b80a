/* What http.c needs to know about addresses, beyond what http.h offers. */
#ifndef VEO_HTTP_URL_H
#define VEO_HTTP_URL_H

#include <stdbool.h>
#include <sys/socket.h>

/* True unless the address is one of the public internet's: loopback, link-local, private, shared
 * (RFC 6598), multicast, unspecified and reserved ones are private here, also inside IPv6. */
bool http_address_is_private(const struct sockaddr *address);

/* The same of a literal ("127.0.0.1", "::1"); true as well if it is none. */
bool http_literal_is_private(const char *literal);

/* The host, without the brackets of IPv6; fresh memory, never NULL. */
char *http_host(const char *url);

bool http_is_https(const char *url);

/* The proxy that the environment names for `url`, as libcurl reads it; NULL if there is none. */
const char *http_proxy(const char *url);

#endif
