/* Runs ClickHouse's library as a server until SIGTERM: its last statement reads standard input, which ends then. */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct result {
    char *buf;
    size_t len;
    void *vec;
    double elapsed;
    unsigned long rows, bytes;
    char *error;
};

static int hold;

static void end(int signal) {
    (void)signal;
    close(hold);
}

int main(int argc, char **argv) {
    int ends[2];
    if (argc < 2 || pipe(ends) || dup2(ends[0], STDIN_FILENO) < 0) return 1;
    close(ends[0]);
    hold = ends[1];

    void *library = dlopen(argv[1], RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    struct result *(*query)(int, char **) = (struct result * (*)(int, char **)) dlsym(library, "query_stable_v2");
    if (!query) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    signal(SIGTERM, end);
    argv[1] = "clickhouse";
    struct result *result = query(argc - 1, argv + 1);
    if (result && result->error) {
        fprintf(stderr, "%s\n", result->error);
        _exit(1);
    }
    /* Threads of the server may still run: no destructors. */
    _exit(0);
}
