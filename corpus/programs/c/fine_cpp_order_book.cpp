// An order book: orders come, are changed and filled; their number stays about the same.
#include <map>
#include <string>

#include "corpus.h"

namespace {

struct Order {
    std::string owner;
    long amount;
};

class Book {
public:
    void add(uint64_t price, std::string owner, long amount) {
        orders_.emplace(price, Order{std::move(owner), amount});
    }
    void fill_best(size_t depth) {
        while (orders_.size() > depth) {
            // From both ends and from the middle, so that no order waits for ever.
            auto at = orders_.lower_bound(corpus_random() >> 16);
            orders_.erase(at == orders_.end() ? orders_.begin() : at);
        }
    }

private:
    std::multimap<uint64_t, Order> orders_;
};

} // namespace

int main(int argc, char **argv) {
    corpus_start(argc, argv);
    size_t depth = static_cast<size_t>(corpus_log_uniform("depth", 100, 20000));
    double full_s = corpus_part_of_length("full_after_s", 0.05, 0.2);
    size_t owner = static_cast<size_t>(corpus_log_uniform("owner_bytes", 8, 300));
    corpus_announce(argv[0], 0);
    Book book;
    for (;;) {
        corpus_wait(static_cast<double>(depth) / full_s);
        book.add(corpus_random() >> 16, std::string(owner, 'o'), static_cast<long>(corpus_below(1000)));
        book.fill_best(depth);
    }
}
