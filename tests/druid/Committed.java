/*
 * Committed - what Druid has committed, by its metadata store
 *
 *     java -cp 'LIB/*' Committed.java jdbc:derby://127.0.0.1:1527/…
 *
 * Says on which port it listens, and answers GET /?id=SUPERVISOR with that
 * supervisor's commit_metadata_payload. It ends with its input.
 */
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;

public final class Committed {
    private static final String QUERY =
        "SELECT commit_metadata_payload FROM druid_dataSource"
        + " WHERE dataSource = ?";

    private final String database;

    private Committed(String database) {
        this.database = database;
    }

    public static void main(String[] args) throws IOException {
        Committed committed = new Committed(args[0]);
        HttpServer server =
            HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.createContext("/", committed::answer);
        server.start();
        System.out.println(server.getAddress().getPort());
        while (System.in.read() >= 0) {
            continue;
        }
        server.stop(0);
    }

    private void answer(HttpExchange exchange) throws IOException {
        String query = exchange.getRequestURI().getQuery();
        int status = 200;
        byte[] body;

        try {
            body = payload(query.substring("id=".length()));
        } catch (SQLException e) {
            status = 500;
            body = e.toString().getBytes(StandardCharsets.UTF_8);
        }
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    private byte[] payload(String id) throws SQLException {
        try (Connection connection = DriverManager.getConnection(database);
             PreparedStatement ask = connection.prepareStatement(QUERY)) {
            ask.setString(1, id);
            try (ResultSet rows = ask.executeQuery()) {
                return rows.next()
                    ? rows.getBytes(1)
                    : "null".getBytes(StandardCharsets.UTF_8);
            }
        }
    }
}
