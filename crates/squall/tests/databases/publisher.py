# Publishes to a queue again and again, as `name` to the broker; says `confirmed` for each message that the broker has taken.
import sys, time, pika

name, port, queue = sys.argv[1:4]
connection = pika.BlockingConnection(pika.ConnectionParameters(
    "127.0.0.1", int(port), client_properties={"connection_name": name}))
channel = connection.channel()
channel.queue_declare(queue, durable=True)
channel.confirm_delivery()
while True:
    if name.startswith("idle"):
        connection.sleep(1)
        continue
    channel.basic_publish("", queue, b"an order", mandatory=True)
    print("confirmed", flush=True)
    connection.sleep(0.02)
