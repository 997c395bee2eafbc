/* Leases in a chained hash table: each is given for a time and removed by a sweep that goes round the buckets. */
#include "corpus.h"

enum { BUCKETS = 4096 };

struct lease {
    struct lease *next;
    double ends_s;
    char *host;
};

static struct lease *buckets[BUCKETS];

static void lease_give(uint64_t address, double ends_s, size_t host_bytes) {
    struct lease *lease = malloc(sizeof *lease);
    char *host = malloc(host_bytes);
    if (!lease || !host) abort();
    memset(host, 'h', host_bytes);
    *lease = (struct lease){buckets[address % BUCKETS], ends_s, host};
    buckets[address % BUCKETS] = lease;
}

static void sweep_bucket(size_t bucket, double now_s) {
    struct lease **at = &buckets[bucket];
    while (*at) {
        struct lease *lease = *at;
        if (lease->ends_s > now_s) {
            at = &lease->next;
            continue;
        }
        *at = lease->next;
        free(lease->host);
        free(lease);
    }
}

int main(int argc, char **argv) {
    corpus_start(argc, argv);
    double per_s = corpus_log_uniform("leases_per_s", 50, 3000);
    double lasts_s = corpus_part_of_length("lasts_s", 0.05, 0.3);
    size_t host_bytes = (size_t)corpus_log_uniform("host_bytes", 16, 500);
    corpus_announce(argv[0], 0);
    double owed = 0, sweeps = BUCKETS / (corpus_length_s * 0.02) / per_s;
    size_t bucket = 0;
    for (;;) {
        corpus_wait(per_s);
        double now_s = corpus_now_s();
        lease_give(corpus_random(), now_s + lasts_s * (0.5 + corpus_part() * 0.5), host_bytes);
        for (owed += sweeps; owed >= 1; owed -= 1) sweep_bucket(bucket++ % BUCKETS, now_s);
    }
}
