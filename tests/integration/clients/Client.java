// Java's two clients; javax.net.ssl.trustStore holds the CA. usage: java Client.java HOST TOKEN
import java.io.InputStream;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Arrays;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;

public class Client {
    static String host, token;

    static HttpResponse<String> call(HttpClient client, String method, String body) throws Exception {
        return client.send(HttpRequest.newBuilder(URI.create("https://" + host + "/v1/x"))
                               .header("Authorization", "Bearer " + token)
                               .method(method, HttpRequest.BodyPublishers.ofString(body)).build(),
                           HttpResponse.BodyHandlers.ofString());
    }

    static int old(String method) throws Exception {
        HttpsURLConnection c = (HttpsURLConnection) new URL("https://" + host + "/v1/x").openConnection();
        c.setRequestMethod(method);
        c.setRequestProperty("Authorization", "Bearer " + token);
        if (method.equals("POST")) {
            c.setDoOutput(true);
            c.getOutputStream().write("hello=world".getBytes());
        }
        try (InputStream in = c.getInputStream()) {
            in.readAllBytes();
        }
        return c.getResponseCode();
    }

    // Two connections of one context: the second resumes the session of the first.
    static void connect(SSLContext context) throws Exception {
        try (SSLSocket s = (SSLSocket) context.getSocketFactory().createSocket(host, 443)) {
            s.startHandshake();
            s.getOutputStream().write(("GET /v1/x HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Bearer " + token
                                       + "\r\nConnection: close\r\n\r\n").getBytes());
            s.getInputStream().readAllBytes();
        }
    }

    public static void main(String[] args) throws Exception {
        host = args[0];
        token = args[1];
        HttpClient client = HttpClient.newHttpClient();
        HttpResponse<String> get = call(client, "GET", ""), post = call(client, "POST", "hello=world");
        SSLContext context = SSLContext.getDefault();
        connect(context);
        connect(context);
        boolean fine = old("GET") == 200 && old("POST") == 200;
        System.out.printf("{\"get\":%d,\"post\":%d,\"said\":%s,\"version\":\"%s\",\"old\":%b}%n",
                          get.statusCode(), post.statusCode(), post.body(),
                          get.sslSession().get().getProtocol(), fine);
    }
}
