// What test_jdbc.py plays: one part of the story, its findings as lines on stdout.
import java.sql.*;
import java.util.Properties;

public class Client {
    static Connection connect() throws SQLException {
        Properties given = new Properties();
        given.setProperty("user", System.getenv("PGUSER"));
        given.setProperty("password", System.getenv("PGPASSWORD"));
        given.setProperty("sslmode", "disable");
        String where = "jdbc:postgresql://127.0.0.1:" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        return DriverManager.getConnection(where, given);
    }

    static int count(ResultSet rows) throws SQLException {
        int count = 0;
        while (rows.next()) count++;
        rows.close();
        return count;
    }

    static void reads(Connection client) throws SQLException {
        try (PreparedStatement one = client.prepareStatement("SELECT ?::int + 1")) {
            int last = 0;
            for (int value = 0; value < 8; value++) {
                one.setInt(1, value);
                ResultSet rows = one.executeQuery();
                rows.next();
                last = rows.getInt(1);
            }
            System.out.println("prepared " + last);
        }
        client.setAutoCommit(false);
        try (Statement big = client.createStatement()) {
            big.setFetchSize(30);
            System.out.println("fetched " + count(big.executeQuery("SELECT id FROM orders WHERE id <= 200")));
        }
        client.commit();
        client.setAutoCommit(true);
        client.setReadOnly(true);
        System.out.println("read-only " + count(client.createStatement().executeQuery("SELECT 1")));
        client.setReadOnly(false);
        System.out.println("valid " + client.isValid(5));
    }

    static void metadata(Connection client) throws SQLException {
        DatabaseMetaData about = client.getMetaData();
        System.out.println("tables " + count(about.getTables(null, "shop", "%", new String[] {"TABLE"})));
        System.out.println("columns " + count(about.getColumns(null, "shop", "orders", "%")));
        System.out.println("keys " + count(about.getPrimaryKeys(null, "shop", "orders")));
        System.out.println("imported " + count(about.getImportedKeys(null, "shop", "orders")));
        count(about.getExportedKeys(null, "shop", "customers"));
        count(about.getIndexInfo(null, "shop", "orders", false, false));
        count(about.getSchemas());
        count(about.getCatalogs());
        count(about.getTypeInfo());
        count(about.getFunctions(null, "pg_catalog", "abs"));
        count(about.getFunctionColumns(null, "pg_catalog", "abs", "%"));
        count(about.getProcedures(null, "shop", "%"));
        count(about.getProcedureColumns(null, "shop", "%", "%"));
        count(about.getTablePrivileges(null, "shop", "orders"));
        count(about.getColumnPrivileges(null, "shop", "orders", "%"));
        count(about.getBestRowIdentifier(null, "shop", "orders", 0, true));
        count(about.getVersionColumns(null, "shop", "orders"));
        count(about.getUDTs(null, "shop", "%", null));
        count(about.getTableTypes());
        count(about.getClientInfoProperties());
        about.getSQLKeywords();
        about.getMaxColumnNameLength();
        ResultSet rows = client.createStatement().executeQuery("SELECT id, total FROM orders WHERE id <= 3");
        ResultSetMetaData shape = rows.getMetaData();
        System.out.println("nullable " + shape.isNullable(2) + " " + shape.isAutoIncrement(1));
    }

    static void writes(Connection client) throws SQLException {
        try (PreparedStatement one = client.prepareStatement("UPDATE orders SET total = ? WHERE id = ?")) {
            one.setInt(1, 91);
            one.setInt(2, 61);
            System.out.println("alone " + one.executeUpdate());
        }
        client.setAutoCommit(false);
        try (PreparedStatement many = client.prepareStatement("UPDATE orders SET total = ? WHERE id = ?")) {
            for (int id = 62; id < 64; id++) {
                many.setInt(1, 30 + id);
                many.setInt(2, id);
                many.addBatch();
            }
            System.out.println("batch " + many.executeBatch().length);
        }
        client.commit();
    }

    static void denied(Connection client) throws SQLException {
        try {
            client.createStatement().executeUpdate("DELETE FROM orders WHERE id = 64");
        } catch (SQLException error) {
            System.out.println(error.getSQLState() + " " + error.getMessage().replace('\n', ' '));
        }
        System.out.println("after " + count(client.createStatement().executeQuery("SELECT 1")));
    }

    static void timeout(Connection client) throws SQLException {
        try (Statement one = client.createStatement()) {
            one.setQueryTimeout(1);
            one.executeUpdate("UPDATE orders SET total = 99 WHERE id = 65");
        } catch (SQLException error) {
            System.out.println(error.getSQLState());
        }
        System.out.println("after " + count(client.createStatement().executeQuery("SELECT 1")));
    }

    /** The test says by a line when the statement is held; by killing us it hangs up. */
    static void cancelled(Connection client) throws SQLException {
        try (Statement one = client.createStatement()) {
            Thread canceller = new Thread(() -> {
                try {
                    System.in.read();
                    one.cancel();
                } catch (java.io.IOException | SQLException error) {
                    System.out.println(error);
                }
            });
            canceller.setDaemon(true);
            canceller.start();
            one.executeUpdate("UPDATE orders SET total = 99 WHERE id = 66");
        } catch (SQLException error) {
            System.out.println(error.getSQLState());
        }
        System.out.println("after " + count(client.createStatement().executeQuery("SELECT 1")));
    }

    public static void main(String[] arguments) throws SQLException {
        try (Connection client = connect()) {
            switch (arguments[0]) {
                case "reads": reads(client); break;
                case "metadata": metadata(client); break;
                case "writes": writes(client); break;
                case "denied": denied(client); break;
                case "cancelled": cancelled(client); break;
                case "timeout": timeout(client); break;
            }
        }
    }
}
