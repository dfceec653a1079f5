import com.fasterxml.jackson.databind.ObjectMapper;
import com.metamx.tranquility.config.DataSourceConfig;
import com.metamx.tranquility.config.PropertiesBasedConfig;
import com.metamx.tranquility.config.TranquilityConfig;
import com.metamx.tranquility.druid.DruidBeams$;
import com.metamx.tranquility.druid.input.InputRowPartitioner;
import com.metamx.tranquility.partition.Partitioner$;
import io.druid.data.input.InputRow;
import io.druid.data.input.Row;
import io.druid.data.input.impl.MapInputRowParser;
import io.druid.granularity.QueryGranularity;
import io.druid.segment.indexing.DataSchema;
import java.io.BufferedWriter;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import scala.Tuple2;
import scala.collection.JavaConversions;

/**
 * Where Tranquility's own code puts random events.
 *
 * <pre>Hashes CONFIGURATION ROWS SEED</pre>
 *
 * For each of the rows, of the configuration's dataSources in turn, one line on
 * standard output: dataSource, hash of time and dimensions, the partitions of 2,
 * 3, 7 and 100 that InputRowPartitioner picks, and the event as JSON; between
 * tabs.
 */
public final class Hashes {
	private static final int[] COUNTS = { 2, 3, 7, 100 };
	private static final long SPAN_MS = 1000L * 86400 * 300;

	private final String name;
	private final MapInputRowParser parser;
	private final QueryGranularity granularity;
	private final InputRowPartitioner partitioner;
	private final ObjectMapper json = new ObjectMapper();

	private Hashes(DataSourceConfig<PropertiesBasedConfig> config) {
		DataSchema schema = DruidBeams$.MODULE$.makeFireDepartment(config).getDataSchema();

		name = schema.getDataSource();
		parser = new MapInputRowParser(schema.getParser().getParseSpec());
		granularity = schema.getGranularitySpec().getQueryGranularity();
		partitioner = new InputRowPartitioner(granularity);
	}

	private int hash(InputRow row) {
		List<Tuple2<String, Object>> dimensions = new ArrayList<>();

		for (String d : row.getDimensions())
			dimensions.add(new Tuple2<>(d, row.getRaw(d)));
		return Partitioner$.MODULE$.timeAndDimsHashCode(
			granularity.truncate(row.getTimestampFromEpoch()),
			JavaConversions.iterableAsScalaIterable(dimensions));
	}

	@SuppressWarnings("unchecked")
	private void print(PrintWriter out, String event) throws Exception {
		InputRow row = parser.parse(json.readValue(event, Map.class));

		out.print(name + "\t" + hash(row) + "\t");
		for (int i = 0; i < COUNTS.length; i++)
			out.print((i > 0 ? "," : "") + partitioner.partition(row, COUNTS[i]));
		out.print("\t" + event + "\n");
	}

	public static void main(String[] arguments) throws Exception {
		int count = Integer.parseInt(arguments[1]);
		long seed = Long.parseLong(arguments[2]), now = System.currentTimeMillis();
		List<Hashes> sources = new ArrayList<>();
		Random random = new Random(seed);
		Rows rows = new Rows(seed);

		try (InputStream in = new FileInputStream(arguments[0])) {
			TranquilityConfig<PropertiesBasedConfig> config = TranquilityConfig.read(in);

			for (String ds : config.getDataSources())
				sources.add(new Hashes(config.getDataSource(ds)));
		}
		try (PrintWriter out = new PrintWriter(new BufferedWriter(
			     new OutputStreamWriter(System.out, StandardCharsets.UTF_8), 1 << 20))) {
			for (int i = 0; i < count; i++) {
				long at = now - SPAN_MS + (long) (random.nextDouble() * 2 * SPAN_MS);

				sources.get(i % sources.size()).print(out, rows.next(at));
			}
			if (out.checkError())
				throw new IllegalStateException("standard output is gone");
		}
		System.exit(0);
	}
}
