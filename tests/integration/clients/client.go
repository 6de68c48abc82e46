// Go's standard client; SSL_CERT_FILE names the CA. usage: client HOST TOKEN
package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
)

func call(client *http.Client, method, body string) (int, map[string]string, bool, *tls.ConnectionState) {
	reused := false
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }}
	request, _ := http.NewRequest(method, "https://"+os.Args[1]+"/v1/x", strings.NewReader(body))
	request = request.WithContext(httptrace.WithClientTrace(request.Context(), trace))
	request.Header.Set("Authorization", "Bearer "+os.Args[2])
	answer, err := client.Do(request)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer answer.Body.Close()
	data, _ := io.ReadAll(answer.Body)
	said := map[string]string{}
	var any map[string]interface{}
	json.Unmarshal(data, &any)
	for k, v := range any {
		said[k] = fmt.Sprint(v)
	}
	return answer.StatusCode, said, reused, answer.TLS
}

func main() {
	get, _, _, state := call(http.DefaultClient, "GET", "")
	post, said, reused, _ := call(http.DefaultClient, "POST", "hello=world")
	// Resumption is asked for; everything else stays as it is by default.
	cache := tls.NewLRUClientSessionCache(8)
	resumed := false
	for i := 0; i < 2; i++ {
		transport := &http.Transport{TLSClientConfig: &tls.Config{ClientSessionCache: cache}}
		_, _, _, again := call(&http.Client{Transport: transport}, "GET", "")
		resumed = again.DidResume
		transport.CloseIdleConnections()
	}
	version := map[uint16]string{tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3"}[state.Version]
	out, _ := json.Marshal(map[string]interface{}{"get": get, "post": post, "method": said["method"],
		"length": said["length"], "keptAlive": reused, "resumed": resumed, "version": version})
	fmt.Println(string(out))
}
