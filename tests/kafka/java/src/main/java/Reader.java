import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Does to a feed what Druid's supervisor and its tasks do to a Kafka cluster:
 * the same calls, and the properties that Druid forces
 * (KafkaRecordSupplier, KafkaIndexTaskRunner, KafkaConsumerConfigs).
 *
 * <pre>
 * Reader ADDRESS TOPIC supervise [NAME=VALUE …]
 *     prints "partitions N", "range START END"
 * Reader ADDRESS TOPIC read FROM COUNT [NAME=VALUE …]
 *     prints "OFFSET TIME VALUE" of each record, or "out of range"
 * </pre>
 */
public final class Reader
{
  private static Map<String, Object> properties(String address, String[] more, int from)
  {
    Map<String, Object> p = new HashMap<>();
    p.put("bootstrap.servers", address);
    for (int i = from; i < more.length; i++) {
      String[] pair = more[i].split("=", 2);
      p.put(pair[0], pair[1]);
    }
    p.putIfAbsent("isolation.level", "read_committed");
    p.putIfAbsent("group.id", "kafka-supervisor-abcdefgh");
    p.put("metadata.max.age.ms", "10000");
    p.put("auto.offset.reset", "none");
    p.put("enable.auto.commit", "false");
    return p;
  }

  private static Consumer<byte[], byte[]> open(Map<String, Object> p)
  {
    return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  private static void supervise(Consumer<byte[], byte[]> c, String topic)
  {
    List<TopicPartition> all = new ArrayList<>();
    List<PartitionInfo> found = c.partitionsFor(topic);
    for (PartitionInfo i : found) {
      all.add(new TopicPartition(i.topic(), i.partition()));
    }
    System.out.println("partitions " + all.size());
    if (all.isEmpty()) {
      return;
    }
    c.assign(all);
    c.seekToBeginning(all);
    long start = c.position(all.get(0));
    c.seekToEnd(all);
    System.out.println("range " + start + " " + c.position(all.get(0)));
    System.out.println("topics " + String.join(",", c.listTopics().keySet()));
  }

  private static void read(Consumer<byte[], byte[]> c, String topic, long from, long count)
  {
    TopicPartition p = new TopicPartition(topic, 0);

    c.assign(List.of(p));
    c.seek(p, from);
    while (count > 0) {
      try {
        for (ConsumerRecord<byte[], byte[]> r : c.poll(Duration.ofMillis(100))) {
          System.out.println(r.offset() + " " + r.timestamp() + " " + new String(r.value()));
          count--;
        }
      }
      catch (OffsetOutOfRangeException e) {
        System.out.println("out of range");
        count = 0;
      }
      System.out.flush();
    }
  }

  public static void main(String[] words)
  {
    boolean reads = words[2].equals("read");

    try (Consumer<byte[], byte[]> c = open(properties(words[0], words, reads ? 5 : 3))) {
      if (reads) {
        read(c, words[1], Long.parseLong(words[3]), Long.parseLong(words[4]));
      } else {
        supervise(c, words[1]);
      }
    }
  }
}
