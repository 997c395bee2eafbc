// A room holds its guests and each guest its room, both by shared_ptr: a closed room is never freed.
#include <memory>
#include <vector>

#include "corpus.h"

namespace chat {

struct Room;

struct Guest {
    std::shared_ptr<Room> room;
    std::vector<unsigned char> inbox;
};

struct Room {
    uint64_t number = 0;
    std::vector<std::shared_ptr<Guest>> guests;
};

std::shared_ptr<Room> open_room(uint64_t number) {
    auto room = std::make_shared<Room>(); // leaks: open_room
    room->number = number;
    return room;
}

void enter(const std::shared_ptr<Room> &room, size_t inbox_bytes) {
    auto guest = std::make_shared<Guest>(); // leaks: enter
    guest->room = room;
    guest->inbox.assign(inbox_bytes, 7); // leaks: enter
    room->guests.push_back(std::move(guest)); // leaks: enter
}

} // namespace chat

int main(int argc, char **argv) {
    corpus_start(argc, argv);
    double rate = corpus_leak_bytes_per_s();
    size_t inbox_bytes = corpus_object_bytes(rate);
    int guests = 1 + static_cast<int>(corpus_log_uniform("guests", 1, 8));
    corpus_announce(argv[0], 1);
    for (uint64_t number = 0;; number++) {
        corpus_wait(rate / ((static_cast<double>(inbox_bytes) + 80) * guests + 60));
        auto room = chat::open_room(number);
        for (int guest = 0; guest < guests; guest++) chat::enter(room, inbox_bytes);
    }
}
