/* Arbitrary bytes as the predict dialect's answers. */
#include "tests/fuzz/fuzz_dialect.h"

/* Exactly four more segments. */
static void check_poll(const char *url)
{
    const char *path = url + strlen("http://h/v1/");
    unsigned slashes = 0;
    for (const char *c = path; *c; c++)
        slashes += *c == '/';
    require(slashes == 3 && !strpbrk(path, "?#\\ %") && !strstr(path, "/../") &&
            !strstr(path, "//"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_dialect(&dialect_predict, "models/m/operations/1", check_poll, data, size);
    return 0;
}
