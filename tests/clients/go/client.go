// What pgx (github.com/jackc/pgx) does, one part for each test; the server's address is libpq's environment.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

var background = context.Background()

func must(err error) {
	if err != nil {
		fmt.Println("unexpected:", err)
		os.Exit(1)
	}
}

func state(err error) string {
	var found *pgconn.PgError
	if errors.As(err, &found) {
		return found.Code + " " + found.Message
	}
	return fmt.Sprint(err)
}

func count(client *pgx.Conn, text string, values ...interface{}) int {
	rows, err := client.Query(background, text, values...)
	must(err)
	defer rows.Close()
	found := 0
	for rows.Next() {
		found++
	}
	must(rows.Err())
	return found
}

func one(client *pgx.Conn) int {
	var number int
	must(client.QueryRow(background, "SELECT 1").Scan(&number))
	return number
}

func reads(client *pgx.Conn) {
	for range [3]int{} {
		fmt.Println("cached", count(client, "SELECT total FROM orders WHERE id = $1", 3))
	}
	fmt.Println("simple", count(client, "SELECT id FROM orders WHERE id <= 200", pgx.QuerySimpleProtocol(true)))
	batch := &pgx.Batch{}
	for order := 1; order <= 5; order++ {
		batch.Queue("SELECT id FROM orders WHERE id = $1", order)
	}
	results, sum := client.SendBatch(background, batch), 0
	for range [5]int{} {
		var id int
		must(results.QueryRow().Scan(&id))
		sum += id
	}
	must(results.Close())
	fmt.Println("batch", sum)
	var numbers []int32
	must(client.QueryRow(background, "SELECT $1::int[]", []int32{1, 2}).Scan(&numbers))
	fmt.Println("array", numbers)
	must(client.BeginTxFunc(background, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		_, err := tx.Exec(background, "SELECT count(*) FROM orders")
		return err
	}))
	_, err := client.PgConn().CopyTo(background, os.Stdout, "COPY (SELECT 7) TO STDOUT")
	must(err)
}

func writes(client *pgx.Conn) {
	tag, err := client.Exec(background, "UPDATE orders SET total = $1 WHERE id = $2", 71, 121)
	must(err)
	fmt.Println("alone", tag.RowsAffected())
	var id int
	must(client.QueryRow(background, "UPDATE orders SET total = 72 WHERE id = 122 RETURNING id").Scan(&id))
	fmt.Println("returning", id)
	must(client.BeginFunc(background, func(tx pgx.Tx) error {
		_, err := tx.Exec(background, "UPDATE orders SET total = 73 WHERE id = 123")
		must(err)
		inner := tx.BeginFunc(background, func(saved pgx.Tx) error {
			_, err := saved.Exec(background, "UPDATE orders SET total = 99 WHERE id = 123")
			must(err)
			return errors.New("undone")
		})
		fmt.Println("savepoint", inner)
		return nil
	}))
	batch := &pgx.Batch{}
	batch.Queue("UPDATE orders SET total = 74 WHERE id = 124")
	batch.Queue("SELECT 1")
	results := client.SendBatch(background, batch)
	tag, err = results.Exec()
	must(err)
	must(results.Close())
	fmt.Println("batch", tag.RowsAffected())
	rows := [][]interface{}{{int64(7121), int64(1), int64(1)}, {int64(7122), int64(1), int64(1)}}
	copied, err := client.CopyFrom(
		background, pgx.Identifier{"orders"}, []string{"id", "customer_id", "total"}, pgx.CopyFromRows(rows),
	)
	must(err)
	fmt.Println("copied", copied)
}

func denied(client *pgx.Conn) {
	_, err := client.Exec(background, "UPDATE orders SET total = 5 WHERE id = 125")
	fmt.Println(state(err))
	fmt.Println("after", one(client))
}

func timeout(client *pgx.Conn) {
	deadline, cancel := context.WithTimeout(background, 700*time.Millisecond)
	defer cancel()
	_, err := client.Exec(deadline, "UPDATE orders SET total = 5 WHERE id = 125")
	fmt.Println("timed out", pgconn.Timeout(err))
}

func waits(client *pgx.Conn) {
	_, err := client.Exec(background, "UPDATE orders SET total = 5 WHERE id = 125")
	fmt.Println(state(err))
}

func main() {
	client, err := pgx.Connect(background, "")
	must(err)
	defer client.Close(background)
	parts := map[string]func(*pgx.Conn){
		"reads": reads, "writes": writes, "denied": denied, "timeout": timeout, "waits": waits,
	}
	parts[os.Args[1]](client)
}
