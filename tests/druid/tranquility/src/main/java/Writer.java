import com.metamx.tranquility.config.DataSourceConfig;
import com.metamx.tranquility.config.PropertiesBasedConfig;
import com.metamx.tranquility.config.TranquilityConfig;
import com.metamx.tranquility.druid.DruidBeams;
import com.metamx.tranquility.tranquilizer.MessageDroppedException;
import com.metamx.tranquility.tranquilizer.Tranquilizer;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.twitter.util.FutureEventListener;
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import scala.runtime.BoxedUnit;

/**
 * A JVM Tranquility instance that takes events from standard input.
 *
 * <pre>Writer CONFIGURATION DATASOURCE</pre>
 *
 * CONFIGURATION is a server.json. Prints "ready", then reads one event (a JSON
 * object) a line and sends each as Tranquility Server does. An empty line asks
 * for what has been sent so far: it waits for the answers of all events before
 * it and prints "sent N dropped N failed N" of all there were. Ends with its
 * input.
 */
public final class Writer {
	private final AtomicInteger sent = new AtomicInteger();
	private final AtomicInteger dropped = new AtomicInteger();
	private final AtomicInteger failed = new AtomicInteger();
	private int open;

	private final class Answer implements FutureEventListener<BoxedUnit> {
		@Override
		public void onSuccess(BoxedUnit nothing) {
			sent.incrementAndGet();
			answered();
		}

		@Override
		public void onFailure(Throwable why) {
			if (why instanceof MessageDroppedException) {
				dropped.incrementAndGet();
			} else {
				failed.incrementAndGet();
				why.printStackTrace();
			}
			answered();
		}
	}

	private synchronized void answered() {
		open--;
		notifyAll();
	}

	private synchronized void awaitAll() throws InterruptedException {
		while (open > 0)
			wait();
	}

	private void report(Tranquilizer<?> out) throws InterruptedException {
		out.flush();
		awaitAll();
		System.out.println("sent " + sent + " dropped " + dropped + " failed " + failed);
	}

	@SuppressWarnings("unchecked")
	private void run(Tranquilizer<Map<String, Object>> out) throws Exception {
		ObjectMapper json = new ObjectMapper();
		BufferedReader in = new BufferedReader(
			new InputStreamReader(System.in, StandardCharsets.UTF_8));
		String line;

		while ((line = in.readLine()) != null) {
			if (line.isEmpty()) {
				report(out);
				continue;
			}
			synchronized (this) {
				open++;
			}
			out.send(json.readValue(line, Map.class)).addEventListener(new Answer());
		}
		report(out);
	}

	public static void main(String[] arguments) throws Exception {
		TranquilityConfig<PropertiesBasedConfig> config;
		DataSourceConfig<PropertiesBasedConfig> source;
		Tranquilizer<Map<String, Object>> out;

		try (InputStream in = new FileInputStream(arguments[0])) {
			config = TranquilityConfig.read(in);
		}
		source = config.getDataSource(arguments[1]);
		out = DruidBeams.fromConfig(source).buildTranquilizer(source.tranquilizerBuilder());
		out.start();
		System.out.println("ready");
		new Writer().run(out);
		out.stop();
		System.exit(0); /* Finagle's and Curator's threads go on else */
	}
}
