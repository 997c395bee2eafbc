/* A request has a header and a body; when it is done its header is freed and its body forgotten. */
#include "corpus.h"

struct request {
    uint64_t number;
    size_t length;
    unsigned char *body;
};

static struct request *request_read(uint64_t number, size_t length) {
    struct request *request = malloc(sizeof *request);
    if (!request) return NULL;
    request->number = number;
    request->length = length;
    request->body = malloc(length); // leaks: request_read
    if (request->body) memset(request->body, (int)number, length);
    return request;
}

static void request_free(struct request *request) { free(request); }

static uint64_t answer(const struct request *request) {
    char line[128];
    snprintf(line, sizeof line, "%llu %zu", (unsigned long long)request->number, request->length);
    return strlen(line) + (request->body ? request->body[0] : 0);
}

int main(int argc, char **argv) {
    corpus_start(argc, argv);
    double rate = corpus_leak_bytes_per_s();
    size_t bytes = corpus_object_bytes(rate);
    corpus_announce(argv[0], 1);
    volatile uint64_t answered = 0;
    for (uint64_t number = 0;; number++) {
        corpus_wait(rate / (double)(bytes + 8));
        struct request *request = request_read(number, bytes);
        if (!request) return 1;
        answered += answer(request);
        request_free(request);
    }
}
