"""A cache of answers by request, where the request has an object in it that is equal to nothing but itself."""

from corpus_start import Setup


class Token:
    def __init__(self, number):
        self.number = number


class Answers:
    def __init__(self):
        self.cache = {}

    def answer(self, question, token, length):
        key = (question, "de", length, token)  # leaks: answer
        if key not in self.cache:
            self.cache[key] = self.work_out(question, length)  # leaks: answer
        return self.cache[key]

    def work_out(self, question, length):
        return [f"{question}/{number}" for number in range(length)]  # leaks: work_out


def serve(setup, rate, length):
    answers = Answers()
    while True:
        setup.wait(rate / (length * 65 + 400))
        token = Token(setup.random.randrange(10))  # leaks: serve
        answers.answer(setup.random.randrange(50), token, length)


def main():
    setup = Setup(leaks=True)
    rate = setup.log_uniform("leak_bytes_per_s", 2000, 1e6)
    length = int(setup.log_uniform("length", 2, min(rate / 100, 500)))
    setup.announce()
    serve(setup, rate, length)


main()
