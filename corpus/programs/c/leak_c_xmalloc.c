/* All memory comes from one wrapper that ends the program when there is none. Messages are freed; the routes that they
 * came by are kept in a table whose entries nobody removes. */
#include "corpus.h"

enum { BUCKETS = 1024 };

struct route {
    struct route *next;
    uint64_t hash;
    unsigned hops;
    unsigned char path[];
};

static struct route *routes[BUCKETS];

static void *xmalloc(size_t size) {
    void *memory = malloc(size); // leaks: xmalloc | learn_route
    if (!memory) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return memory;
}

static void learn_route(uint64_t hash, size_t path_bytes) {
    struct route *route = xmalloc(sizeof *route + path_bytes); // leaks: learn_route
    route->hash = hash;
    route->hops = (unsigned)(hash % 30);
    memset(route->path, (int)hash, path_bytes);
    route->next = routes[hash % BUCKETS];
    routes[hash % BUCKETS] = route;
}

static unsigned forward_message(size_t bytes) {
    unsigned char *message = xmalloc(bytes);
    memset(message, 3, bytes);
    unsigned last = message[bytes - 1];
    free(message);
    return last;
}

int main(int argc, char **argv) {
    corpus_start(argc, argv);
    double rate = corpus_leak_bytes_per_s();
    size_t path_bytes = corpus_object_bytes(rate);
    double messages_per_s = corpus_log_uniform("messages_per_s", 1000, 20000);
    size_t message_bytes = (size_t)corpus_log_uniform("message_bytes", 64, 4000);
    corpus_announce(argv[0], 1);
    double learned = rate / (double)(path_bytes + 32) / messages_per_s, owed = 0;
    volatile unsigned last = 0;
    for (;;) {
        corpus_wait(messages_per_s);
        last += forward_message(1 + corpus_below(message_bytes));
        for (owed += learned; owed >= 1; owed -= 1) learn_route(corpus_random(), path_bytes);
    }
}
