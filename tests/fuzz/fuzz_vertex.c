/* Arbitrary bytes as the vertex dialect's answers. */
#include "tests/fuzz/fuzz_dialect.h"

/* Below the project, and nothing but a path. */
static void check_poll(const char *url)
{
    const char *path = url + strlen("http://h/v1/");
    require(strncmp(path, "projects/", 9) == 0 && !strpbrk(path, "?#\\ %") &&
            !strstr(path, "/../") && !strstr(path, "//") &&
            strcmp(path + strlen(path) - 22, ":fetchPredictOperation") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_dialect(&dialect_vertex, "projects/p/operations/1", check_poll, data, size);
    return 0;
}
