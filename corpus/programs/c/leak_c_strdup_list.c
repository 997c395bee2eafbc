/* A list of the clients that were seen, with their names; entries are only ever added. */
#include "corpus.h"

struct client {
    struct client *next;
    char *name;
    time_t seen;
};

static struct client *clients;

static void remember_client(const char *name) {
    struct client *client = malloc(sizeof *client); // leaks: remember_client
    if (!client) return;
    client->name = strdup(name); // leaks: remember_client
    client->seen = time(NULL);
    client->next = clients;
    clients = client;
}

static size_t recent_clients(size_t most) {
    size_t length = 0;
    for (struct client *client = clients; client && most; client = client->next, most--)
        length += client->name ? strlen(client->name) : 0;
    return length;
}

int main(int argc, char **argv) {
    corpus_start(argc, argv);
    double rate = corpus_leak_bytes_per_s();
    int padding = (int)corpus_object_bytes(rate);
    corpus_announce(argv[0], 1);
    volatile size_t length = 0;
    char name[8300];
    for (;;) {
        corpus_wait(rate / (padding + 40.0));
        snprintf(name, sizeof name, "%0*llu", padding, (unsigned long long)corpus_random());
        remember_client(name);
        length += recent_clients(20);
    }
}
