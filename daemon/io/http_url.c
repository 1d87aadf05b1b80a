#include "daemon/io/http_url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/io/http.h"
#include "proto/mem.h"

static bool v4_is_private(uint32_t address)
{
    static const struct {
        uint32_t network;
        int bits;
    } table[] = {
        {0x00000000, 8},  /* this network, RFC 1122 */
        {0x0a000000, 8},  /* private, RFC 1918 */
        {0x64400000, 10}, /* shared with the carrier, RFC 6598 */
        {0x7f000000, 8},  /* loopback */
        {0xa9fe0000, 16}, /* link-local, and where clouds keep their metadata */
        {0xac100000, 12}, /* private */
        {0xc0000000, 24}, /* protocol assignments, RFC 6890 */
        {0xc0a80000, 16}, /* private */
        {0xc6120000, 15}, /* benchmarks, RFC 2544 */
        {0xe0000000, 4},  /* multicast */
        {0xf0000000, 4},  /* reserved, and broadcast */
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if ((address ^ table[i].network) >> (32 - table[i].bits) == 0)
            return true;
    return false;
}

static uint32_t v4_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool v6_is_private(const uint8_t bytes[16])
{
    static const uint8_t zeros[12];
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (memcmp(bytes, mapped, 12) == 0 || memcmp(bytes, nat64, 12) == 0)
        return v4_is_private(v4_at(bytes + 12));
    if (bytes[0] == 0x20 && bytes[1] == 0x02) /* 6to4 */
        return v4_is_private(v4_at(bytes + 2));
    return memcmp(bytes, zeros, 12) == 0                   /* ::, ::1, and the old ::a.b.c.d */
           || (bytes[0] & 0xfe) == 0xfc                    /* unique local, RFC 4193 */
           || (bytes[0] == 0xfe && (bytes[1] & 0x80) != 0) /* link- and site-local */
           || bytes[0] == 0xff;                            /* multicast */
}

bool http_address_is_private(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof(v4));
        return v4_is_private(ntohl(v4.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof(v6));
        return v6_is_private(v6.sin6_addr.s6_addr);
    }
    return true;
}

bool http_literal_is_private(const char *literal)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, literal, &v4) == 1)
        return v4_is_private(ntohl(v4.s_addr));
    if (inet_pton(AF_INET6, literal, &v6) == 1)
        return v6_is_private(v6.s6_addr);
    return true;
}

static bool is_literal(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* NULL if it is no http or https address. */
static CURLU *url_parse(const char *url)
{
    CURLU *parsed = curl_url();
    char *scheme = NULL;
    if (!url || !parsed || curl_url_set(parsed, CURLUPART_URL, url, 0) ||
        curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) ||
        (strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0)) {
        curl_url_cleanup(parsed);
        parsed = NULL;
    }
    curl_free(scheme);
    return parsed;
}

/* Fresh memory; "" if there is no such part. Takes NULL. */
static char *parsed_part(CURLU *parsed, CURLUPart part)
{
    char *text = NULL;
    if (parsed)
        curl_url_get(parsed, part, &text, CURLU_DEFAULT_PORT);
    char *ret = mem_strdup(text ? text : "");
    curl_free(text);
    return ret;
}

static char *url_part(const char *url, CURLUPart part)
{
    CURLU *parsed = url_parse(url);
    char *ret = parsed_part(parsed, part);
    curl_url_cleanup(parsed);
    return ret;
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
    char *of_a = parsed_part(a, part);
    char *of_b = parsed_part(b, part);
    bool same = of_a[0] != '\0' && strcasecmp(of_a, of_b) == 0;
    free(of_a);
    free(of_b);
    return same;
}

bool http_same_origin(const char *a, const char *b)
{
    CURLU *parsed_a = url_parse(a);
    CURLU *parsed_b = url_parse(b);
    bool same = same_part(parsed_a, parsed_b, CURLUPART_SCHEME) &&
                same_part(parsed_a, parsed_b, CURLUPART_HOST) &&
                same_part(parsed_a, parsed_b, CURLUPART_PORT);
    curl_url_cleanup(parsed_a);
    curl_url_cleanup(parsed_b);
    return same;
}

char *http_host(const char *url)
{
    char *host = url_part(url, CURLUPART_HOST);
    size_t length = strlen(host);
    if (length > 1 && host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        memmove(host, host + 1, length - 1);
    }
    return host;
}

static bool is_localhost(const char *host)
{
    static const char name[] = "localhost";
    size_t length = strlen(host);
    if (length > 0 && host[length - 1] == '.')
        length--;
    if (length < strlen(name) || strncasecmp(host + length - strlen(name), name, strlen(name)) != 0)
        return false;
    return length == strlen(name) || host[length - strlen(name) - 1] == '.';
}

bool http_names_private_host(const char *url)
{
    char *host = http_host(url);
    bool private = is_localhost(host) || (is_literal(host) && http_literal_is_private(host));
    free(host);
    return private;
}

bool http_is_url(const char *url)
{
    CURLU *parsed = url_parse(url);
    curl_url_cleanup(parsed);
    return parsed != NULL;
}

bool http_is_https(const char *url)
{
    return strncasecmp(url, "https:", 6) == 0;
}

const char *http_proxy(const char *url)
{
    /* HTTP_PROXY in capitals is left out: CGI would let a request's header set it. */
    static const char *const for_http[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
    static const char *const for_https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                            NULL};
    for (const char *const *name = http_is_https(url) ? for_https : for_http; *name; name++) {
        const char *proxy = getenv(*name);
        if (proxy && proxy[0] != '\0')
            return proxy;
    }
    return NULL;
}

char *http_escape(const char *text)
{
    char *escaped = curl_easy_escape(NULL, text, 0);
    char *ret = mem_strdup(escaped ? escaped : "");
    curl_free(escaped);
    return ret;
}
