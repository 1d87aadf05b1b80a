#include "daemon/arguments.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: veod [--config FILE] [-o SECTION.KEY=VALUE]... [--check] [--print-config]\n"
    "            [--version] [--help]\n"
    "\n"
    "Generates video with Google's models for the clients of a Unix socket.\n"
    "\n"
    "  -c, --config FILE           read FILE and FILE.d/*.conf instead of " VEOD_CONFIG_FILE "\n"
    "  -o, --option SECTION.KEY=VALUE  set a key; those of a provider: \"provider "
    "NAME.KEY=VALUE\"\n"
    "      --check                 check the configuration and the credentials, and exit\n"
    "      --print-config          print the configuration with all defaults, and exit\n"
    "      --version               print the version, and exit\n"
    "      --help                  print this, and exit\n";

void arguments_read(int argc, char **argv, struct arguments *ret)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"option", required_argument, NULL, 'o'},
        {"check", no_argument, NULL, 'C'},
        {"print-config", no_argument, NULL, 'P'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "c:o:h", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            ret->config_file = optarg;
            break;
        case 'o':
            if (ret->override_count == OVERRIDES_MAX) {
                fprintf(stderr, "veod: more than %d times -o\n", OVERRIDES_MAX);
                exit(2);
            }
            ret->overrides[ret->override_count++] = optarg;
            break;
        case 'C':
            ret->only_check = true;
            break;
        case 'P':
            ret->only_print = true;
            break;
        case 'V':
            puts("veod " VEOD_VERSION);
            exit(0);
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            fputs("veod --help tells what it takes\n", stderr);
            exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "veod: unexpected argument \"%s\"\n", argv[optind]);
        exit(2);
    }
}
