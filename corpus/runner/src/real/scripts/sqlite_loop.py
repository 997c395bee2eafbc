"""A table of so many rows that is filled, searched, changed and emptied."""
import sqlite3
import sys

ROWS = 5000

while True:
    connection = sqlite3.connect(sys.argv[1])
    with connection:
        connection.execute("create table if not exists items (id integer primary key, name text, size integer)")
        connection.execute("create index if not exists names on items (name)")
    with connection:
        rows = ((number, f"item {number * 7919 % ROWS}", number % 97) for number in range(ROWS))
        connection.executemany("insert or replace into items values (?, ?, ?)", rows)
    for number in range(0, ROWS, 50):
        connection.execute("select * from items where name = ?", (f"item {number}",)).fetchall()
    for size, count in connection.execute("select size, count(*) from items group by size order by 2"):
        with connection:
            connection.execute("update items set size = size + 1 where size = ? and id < 100", (size,))
    with connection:
        connection.execute("delete from items where id % 3 = 0")
    connection.close()
